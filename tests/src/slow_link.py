"""A slow link that loses packets: takes frames from one interface to the other, both ways, late and not all of them.

    slow_link.py INTERFACE INTERFACE DELAY_SECONDS LOSS      (LOSS from 0 to 1; the first line it prints: it works)

For kernels without `tc netem`. It ends when its stdin does.
"""

import collections
import random
import select
import socket
import sys
import time

PACKET, VNET_HEADER = 263, 15  # SOL_PACKET, PACKET_VNET_HDR: frames keep what is left to do about their checksums
OUTGOING = 4
FRAME = 70000  # the kernel hands over what it has not cut into packets yet


def opened(interface):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.setsockopt(PACKET, VNET_HEADER, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    link.bind((interface, 0))
    link.setblocking(False)
    return link


def main():
    first, second, delay, loss = sys.argv[1:]
    first, second, delay, loss = opened(first), opened(second), float(delay), float(loss)
    other, waiting = {first: second, second: first}, collections.deque()
    print("works", flush=True)
    while True:
        until = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        ready = select.select([first, second, sys.stdin], [], [], until)[0]
        if sys.stdin in ready and not sys.stdin.read(1):
            return
        for link in ready:
            if link is sys.stdin:
                continue
            try:
                frame, address = link.recvfrom(FRAME)
            except OSError:
                continue
            # What this program itself has sent there is seen as outgoing.
            if address[2] != OUTGOING and random.random() >= loss:
                waiting.append((time.monotonic() + delay, other[link], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, link, frame = waiting.popleft()
            try:
                link.send(frame)
            except OSError:
                pass  # as if it were lost


main()
