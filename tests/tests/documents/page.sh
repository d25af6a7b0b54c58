# One page, run: `bash page.sh KIND GIVEN SOURCES`, as the first process of fresh namespaces (network, mounts, processes, host
# name), or, of the kind `debian`, in a container with nothing else in it. GIVEN is a directory: `lictor`, the program; `bin`,
# what stands in for programs that cannot be had; `steps`, numbered scripts, all run in this one shell. Before each, a line with
# the byte 1E and its number goes out. What is started ends with the namespaces, and nothing of the host's is changed.
set -euo pipefail
exec 2>&1
kind=$1 given=$2 sources=${3:-} scratch=$2
[ "$kind" != debian ] || scratch=/run/page

mkdir -p "$scratch/over"
if [ "$kind" = debian ]; then
    # With loopback alone systemd-resolved says that the network is down.
    ip link add eth0 type veth peer name far
    ip addr add 10.0.1.7/24 dev eth0
    ip link set far up
    ip link set eth0 up
    ip link set lo up
else
    # What pages write to lies over the host's directories, in memory.
    mount -t tmpfs tmpfs "$scratch/over"
    for directory in /etc /usr/bin /usr/local /var/lib /var/log; do
        mkdir -p "$scratch/over$directory/upper" "$scratch/over$directory/work"
        mount -t overlay overlay \
            -o "lowerdir=$directory,upperdir=$scratch/over$directory/upper,workdir=$scratch/over$directory/work" "$directory"
    done
    mount -t tmpfs tmpfs /run
    ip link set lo up
    install -m 755 "$given"/bin/* /usr/local/bin
    mkdir -p /etc/systemd/system
    [ -z "$sources" ] || cp "$sources/examples/systemd/lictor.service" /etc/systemd/system
fi
hostname host-a
printf '127.0.0.1 localhost host-a\n::1 localhost\n' >/etc/hosts
ln -sf "$given/lictor" /usr/bin/lictor
mkdir -p /etc/lictor.d /var/lib/lictor /var/log/lictor "$scratch/over/home" "$scratch/over/logs" "$scratch/over/units"
export HOME=$scratch/over/home PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
export LICTOR_PAGE_UNITS=$scratch/over/units LICTOR_PAGE_GIVEN=$given
logs=$scratch/over/logs units=$scratch/over/units
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

# `start NAME FLAGS...`: an agent of the book's cluster, no job of the page's. `stop NAME`, `kill_at_once NAME`: its end. On the
# host of that name (`hostname NAME`) it is what `systemctl` calls `lictor`.
start() {
    local name=$1
    shift
    set -- lictor agent -node="$name" "$@"
    printf '%q ' "$@" >"$units/lictor@$name.command"
    "$@" >>"$logs/$name.log" 2>&1 &
    echo $! >"$units/lictor@$name.pid"
    disown $!
}
stop() {
    local pid
    pid=$(cat "$units/lictor@$1.pid")
    kill "${2:--TERM}" "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
}
kill_at_once() { stop "$1" -KILL; }
# Server N is at 127.0.0.(N+1). As its own host would have it, the first one's data is in /var/lib/lictor.
first_data=/var/lib/lictor
start_server() {
    local address=127.0.0.$(($1 + 1)) data=$first_data
    [ "$1" = 1 ] || data=/var/lib/lictor-$1
    start "server-$1" -server -bootstrap-expect=3 -bind="$address" -client="$address" -data-dir="$data" \
        -retry-join=127.0.0.2 -retry-join=127.0.0.3 -retry-join=127.0.0.4 -retry-interval=1s "${@:2}"
}
start_sidecar() {
    mkdir -p -m 700 /var/lib/lictor-host-a
    start host-a -bind=127.0.0.1 -data-dir=/var/lib/lictor-host-a -config-dir=/etc/lictor.d \
        -retry-join=127.0.0.2 -retry-join=127.0.0.3 -retry-join=127.0.0.4 -retry-interval=1s "$@"
}


# `host NAME ADDRESS`: a host with a network, a name and a data directory of its own; all are in 10.0.0.0/8, and this one is
# 10.255.0.1 there. `on NAME COMMAND...` runs something on it.
declare -A hosts=()
host() {
    [ ${#hosts[@]} != 0 ] || {
        ip link add hosts type bridge
        ip addr add 10.255.0.1/8 dev hosts
        ip link set hosts up
    }
    unshare --net --mount --uts sleep infinity &
    hosts[$1]=$!
    disown $!
    until [ "$(readlink /proc/$!/ns/uts)" != "$(readlink /proc/$$/ns/uts)" ]; do sleep 0.01; done
    ip link add "$1" type veth peer name eth0 netns $!
    ip link set "$1" master hosts up
    on "$1" sh -c "hostname $1; ip link set lo up; ip addr add $2/8 dev eth0; ip link set eth0 up
        mount -t tmpfs -o mode=700 tmpfs /var/lib/lictor"
}
on() {
    nsenter --target "${hosts[$1]}" --net --mount --uts --wdns="$PWD" -- "${@:2}"
}
export -f knows

# `background [NAME] TEXT`: what goes on until it is ended, here or on a host, as at a terminal where nobody types.
background() {
    local where=()
    [ $# = 1 ] || where=(on "$1")
    "${where[@]}" bash -c "exec ${*: -1}" < <(exec sleep infinity) >>"$logs/background.log" 2>&1 &
    disown $!
}
# `on_their_hosts TEXT`: a cluster's command lines. A server's runs on three hosts, a sidecar's on another, and any other there,
# too, as soon as it can.
on_their_hosts() {
    local line number
    [ ${#hosts[@]} != 0 ] || {
        for number in 1 2 3; do host server-$number 10.0.0.$number; done
        host host-7 10.0.1.7
    }
    while read -r line; do
        case $line in
        'lictor agent -server'*)
            for number in 1 2 3; do background server-$number "${line/-bind=10.0.0.1 /-bind=10.0.0.$number }"; done
            ;;
        'lictor agent'*) background host-7 "$line" ;;
        *)
            eventually on host-7 sh -c "$line" || return
            cat "$logs/eventually"
            ;;
        esac
    done < <(sed -z 's/\\\n//g' <<<"$1")
}
# `patiently TEXT`: each line as soon as it can be; one that ends with `&` goes on.
patiently() {
    local line
    while read -r line; do
        case $line in
        *'&') background "${line%&}" ;;
        *)
            eventually sh -c "$line" || return
            cat "$logs/eventually"
            ;;
        esac
    done <<<"$1"
}

ended() {
    local code=$?
    [ $code = 0 ] || tail -n 5 "$logs"/*.log "$units"/*.log 2>/dev/null
    exit $code
}
trap ended EXIT
printf '\036000\n'
case $kind in
agent | debian)
    start host-a -dev
    eventually sh -c 'lictor members | grep alive'
    ;;
cluster)
    for number in 1 2 3; do start_server $number; done
    start_sidecar
    for last in 1 2 3 4; do eventually knows 127.0.0.$last host-a server-1 server-2 server-3; done
    ;;
esac
for step in "$given"/steps/*.sh; do
    [ -e "$step" ] || break
    number=${step##*/}
    printf '\036%s\n' "${number%.sh}"
    # shellcheck source=/dev/null
    source "$step"
done
