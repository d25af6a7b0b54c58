# One page of the book, run: `bash page.sh KIND SCRATCH PROGRAM STEPS`, as the first process of fresh namespaces (network,
# mounts, processes, host name). STEPS is a directory of numbered scripts, all run in this one shell; before each, a line
# with the byte 1E and its number goes out. What is started ends with the namespaces, and nothing of the host's is changed.
set -euo pipefail
exec 2>&1
kind=$1 scratch=$2 program=$3 steps=$4

# What pages write to lies over the host's directories, in memory.
mkdir -p "$scratch/over" && mount -t tmpfs tmpfs "$scratch/over"
for directory in /etc /usr/local /var/lib /var/log; do
    mkdir -p "$scratch/over$directory/upper" "$scratch/over$directory/work"
    mount -t overlay overlay \
        -o "lowerdir=$directory,upperdir=$scratch/over$directory/upper,workdir=$scratch/over$directory/work" "$directory"
done
mount -t tmpfs tmpfs /run
ip link set lo up
hostname host-a
printf '127.0.0.1 localhost host-a\n::1 localhost\n' >/etc/hosts
ln -sf "$program" /usr/local/bin/lictor
mkdir -p /etc/lictor.d /var/lib/lictor /var/log/lictor "$scratch/over/home" "$scratch/over/logs"
export HOME=$scratch/over/home PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
logs=$scratch/over/logs
cd "$HOME"

# Says whether an agent takes these files, on a host without an address of its own.
valid() {
    printf 'bind_addr = "127.0.0.1"\n' >"$logs/bind.hcl"
    lictor validate "$logs/bind.hcl" "$@"
}

# Tries a command until it succeeds; what it says is shown if it never does.
eventually() {
    local end=$((SECONDS + 30))
    until "$@" >"$logs/eventually" 2>&1; do
        if ((SECONDS >= end)); then
            printf 'never: %s\n' "$*"
            cat "$logs/eventually"
            return 1
        fi
        sleep 0.05
    done
}

# Whether the agent at an address knows a leader, and these nodes as alive.
knows() {
    local address=$1 wanted found
    shift
    curl -sf "http://$address:8500/v1/status/leader" | grep -q : || return
    wanted=$(printf '%s\n' "$@" | sort)
    found=$(curl -sf "http://$address:8500/v1/health/state/passing" | jq -r '.[] | select(.CheckID == "serfHealth").Node' | sort)
    [ "$wanted" = "$found" ] || { echo "$found" && return 1; }
}

# `start NAME FLAGS...`: an agent of the book's cluster, no job of the page's. `stop NAME`, `kill_at_once NAME`: its end.
declare -A agents
start() {
    local name=$1
    shift
    lictor agent -node="$name" "$@" >>"$logs/$name.log" 2>&1 &
    agents[$name]=$!
    disown $!
}
stop() {
    kill "${2:--TERM}" "${agents[$1]}"
    while kill -0 "${agents[$1]}" 2>/dev/null; do sleep 0.02; done
}
kill_at_once() { stop "$1" -KILL; }
# Server N is at 127.0.0.(N+1). As its own host would have it, the first one's data is in /var/lib/lictor.
start_server() {
    local address=127.0.0.$(($1 + 1)) data=/var/lib/lictor$([ "$1" = 1 ] || printf %s "-$1")
    start "server-$1" -server -bootstrap-expect=3 -bind="$address" -client="$address" -data-dir="$data" \
        -retry-join=127.0.0.2 -retry-join=127.0.0.3 -retry-join=127.0.0.4 -retry-interval=1s "${@:2}"
}
start_sidecar() {
    mkdir -p -m 700 /var/lib/lictor-host-a
    start host-a -bind=127.0.0.1 -data-dir=/var/lib/lictor-host-a -config-dir=/etc/lictor.d \
        -retry-join=127.0.0.2 -retry-join=127.0.0.3 -retry-join=127.0.0.4 -retry-interval=1s "$@"
}

ended() {
    local code=$?
    [ $code = 0 ] || tail -n 5 "$logs"/*.log 2>/dev/null
    exit $code
}
trap ended EXIT
printf '\036000\n'
case $kind in
agent)
    start host-a -dev
    eventually knows 127.0.0.1 host-a
    ;;
cluster)
    for number in 1 2 3; do start_server $number; done
    start_sidecar
    for last in 1 2 3 4; do eventually knows 127.0.0.$last host-a server-1 server-2 server-3; done
    ;;
esac
for step in "$steps"/*.sh; do
    [ -e "$step" ] || break
    number=${step##*/}
    printf '\036%s\n' "${number%.sh}"
    # shellcheck source=/dev/null
    source "$step"
done
