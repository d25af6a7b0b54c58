#!/usr/bin/env bash
# Walks through the two datacenters of compose.yaml, and says what it sees: lookups in and across datacenters, a lost leader, a
# lost datacenter. Needs curl and dig. It ends with 0 when everything was as it should be, and leaves all containers running.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly HTTP=127.0.0.1:8501 OTHER_HTTP=127.0.0.1:8511 DNS_PORT=8601
readonly LIMIT=${TOUR_LIMIT:-60} # seconds that anything may take
step=0

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi

step() { step=$((step + 1)); printf '\n%2d  %s\n' $step "$1"; }
seen() { printf '    ✓ %s\n' "$1"; }
failed() { printf '    ✗ %s\n' "$1" >&2; exit 1; }
milliseconds() { date +%s%3N; }

# until WHAT COMMAND...: waits until the command succeeds.
until_true() {
    local what=$1 end=$((SECONDS + LIMIT))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || failed "not within $LIMIT s: $what"
        sleep 0.2
    done
}

get() { curl -sS --fail --max-time 10 "http://$1$2"; }
answer() { dig +short +time=5 +tries=1 @127.0.0.1 -p $DNS_PORT "$@" | sort | tr '\n' ' '; }
status() { curl -s -o /dev/null --max-time 10 -w '%{http_code}' "http://$HTTP$1" || true; }
container() { "${compose[@]}" ps -q "$1"; }
passing() { [ "$(get "$1" "/v1/health/service/hello?passing&stale${3:-}" | grep -o '"Service":"hello"' | wc -l)" = "$2" ]; }
members() { [ "$("${compose[@]}" exec -T "$1" /lictor members ${3:-} | grep -c alive)" = "$2" ]; }
write_key() { get "$HTTP" "/v1/status/leader" | grep -q : && curl -sS --fail --max-time 2 -X PUT -d "$1" "http://$HTTP/v1/kv/tour"; }

step "Both datacenters are there"
until_true "5 members of dc1 are alive" members dc1-server-1 5
until_true "4 members of dc2 are alive" members dc2-server-1 4
until_true "6 servers are in the network between them" members dc1-server-2 6 -wan
until_true "the service is passing at both sidecars of dc1" passing $HTTP 2
until_true "the service is passing at the sidecar of dc2" passing $OTHER_HTTP 1
seen "dc1: 3 servers, 2 sidecars; dc2: 3 servers, 1 sidecar; datacenters: $(get $HTTP /v1/catalog/datacenters)"

step "A lookup in the own datacenter, at the sidecar, by HTTP and DNS"
[ "$(answer hello.service.consul)" = "10.81.1.21 10.81.1.22 " ] || failed "DNS: $(answer hello.service.consul)"
seen "hello.service.consul is at $(answer hello.service.consul)"
until_true "the caller found both instances" sh -c "${compose[*]} logs dc1-caller | grep -q 10.81.1.22"
seen "an application beside dc1-sidecar-2 calls both"

step "A lookup in the other datacenter"
until_true "dc2's instance is found by DNS" sh -c "[ \"\$(dig +short +time=5 +tries=1 @127.0.0.1 -p $DNS_PORT hello.service.dc2.consul)\" = 10.81.2.21 ]"
seen "hello.service.dc2.consul is at $(answer hello.service.dc2.consul)"
until_true "dc2's instance is found by HTTP" passing $HTTP 1 '&dc=dc2'
seen "/v1/health/service/hello?dc=dc2 has it too"
curl -sS --fail -X PUT -d 'from dc1' "http://$HTTP/v1/kv/greeting?dc=dc2" >/dev/null
[ "$(get $OTHER_HTTP '/v1/kv/greeting?raw')" = "from dc1" ] || failed "the key did not come to dc2"
seen "a key written to dc2 through dc1 is there"
if curl -s -o /dev/null --max-time 10 "http://$HTTP/v1/status/leader?dc=nowhere"; then
    [ "$(status '/v1/catalog/nodes?dc=nowhere')" = 500 ] || failed "a datacenter that is not there: $(status '/v1/catalog/nodes?dc=nowhere')"
    seen "a datacenter that is not there: $(curl -s "http://$HTTP/v1/catalog/nodes?dc=nowhere")"
fi
if "${compose[@]}" exec -T dc1-sidecar-1 /lictor members -http-addr=http://10.81.2.11:8500 >/dev/null 2>&1; then
    failed "a sidecar reaches a server of the other datacenter by itself"
fi
seen "the sidecar has no way into dc2 but by its servers"

step "The leader of dc1 is killed"
leader=$(get $HTTP /v1/status/leader | grep -o '1[0-9]:8300' | cut -c2)
lookups=$(mktemp)
trap 'rm -f "$lookups"' EXIT
while [ -e "$lookups" ]; do
    [ "$(answer hello.service.consul)" = "10.81.1.21 10.81.1.22 " ] && echo right || echo wrong
done >>"$lookups" &
"${compose[@]}" kill dc1-server-"$leader" >/dev/null 2>&1
before=$(milliseconds)
until_true "writes work again" write_key "without $leader"
took=$(($(milliseconds) - before))
right=$(grep -c right "$lookups") wrong=$(grep -c wrong "$lookups" || true)
rm "$lookups"
[ "$wrong" = 0 ] || failed "$wrong of $((right + wrong)) lookups failed"
seen "dc1-server-$leader is gone; writes work again after $took ms; $right lookups meanwhile, none failed"
"${compose[@]}" start dc1-server-"$leader" >/dev/null 2>&1
until_true "dc1-server-$leader is back" members dc1-server-"$leader" 5
seen "dc1-server-$leader is back"

step "The link between the datacenters is cut"
link=$(docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$(container dc2-server-1)" | grep 'wan$')
for server in 1 2 3; do docker network disconnect "$link" "$(container dc2-server-$server)"; done
before=$(milliseconds)
code=$(status '/v1/kv/greeting?dc=dc2')
took=$(($(milliseconds) - before))
case $code in 5*) ;; *) failed "the link is cut, and the answer is $code" ;; esac
[ $took -lt 2000 ] || failed "a question over the cut link took $took ms"
seen "a question over it has the answer $code after $took ms"
write_key 'the link is cut' >/dev/null || failed "dc1 cannot write"
curl -sS --fail --max-time 2 -X PUT -d 'on its own' "http://$OTHER_HTTP/v1/kv/greeting" >/dev/null || failed "dc2 cannot write"
seen "both read and write on their own"
for server in 1 2 3; do docker network connect --ip 10.81.0.2$server "$link" "$(container dc2-server-$server)"; done
until_true "the link works again" sh -c "curl -s --fail --max-time 2 'http://$HTTP/v1/kv/greeting?dc=dc2&raw' | grep -q 'on its own'"
seen "mended, it is used again: greeting is \"$(get $HTTP '/v1/kv/greeting?dc=dc2&raw')\""

step "All servers of dc2 are killed"
"${compose[@]}" kill dc2-server-1 dc2-server-2 dc2-server-3 >/dev/null 2>&1
before=$(milliseconds)
code=$(status '/v1/catalog/nodes?dc=dc2')
took=$(($(milliseconds) - before))
case $code in 5*) ;; *) failed "dc2 is lost, and the answer is $code" ;; esac
[ $took -lt 2000 ] || failed "a question about the lost dc2 took $took ms"
seen "a question about dc2 has the answer $code after $took ms: $(curl -s --max-time 10 "http://$HTTP/v1/catalog/nodes?dc=dc2")"
[ "$(answer hello.service.consul)" = "10.81.1.21 10.81.1.22 " ] || failed "dc1 suffers: $(answer hello.service.consul)"
write_key 'dc2 is lost' >/dev/null || failed "dc1 suffers: it cannot write"
seen "dc1 reads and writes as before"
[ "$(answer hello.service.dc2.consul)" = "10.81.2.21 " ] || failed "the copy of dc2:hello is gone: $(answer hello.service.dc2.consul)"
seen "what dc1 keeps a copy of is still found: hello.service.dc2.consul is at $(answer hello.service.dc2.consul)"
passing $OTHER_HTTP 1 || failed "the sidecar of dc2 does not answer without servers"
seen "and dc2's own sidecar answers its applications without any server"

step "dc2 comes back"
"${compose[@]}" start dc2-server-1 dc2-server-2 dc2-server-3 >/dev/null 2>&1
until_true "dc2 answers again" sh -c "curl -s --fail --max-time 2 'http://$HTTP/v1/kv/greeting?dc=dc2&raw' | grep -q 'on its own'"
seen "it answers again, with all that it had: greeting is \"$(get $HTTP '/v1/kv/greeting?dc=dc2&raw')\""

printf '\nAll %d steps passed in %d s.\n' $step $SECONDS
