"""Records agent_more.json: what the installed HAProxy makes of sequences of agent replies.

    python3 record_agent.py > agent_more.json
"""

import csv, io, json, os, socket, subprocess, sys, tempfile, threading, time

SEQUENCES = [
    ["0%\n", "up\n", "100%\n"],
    ["3000%\n"],
    ["50%\n", "12.5%\n", "0%\n", "100%\n"],
    ["up 300.5%\n"],
    ["maxconn:5\n", "maxconn:0\n", "maxconn:7\n"],
    ["maxconn:30x\n"],
    ["maxconn:\n"],
    ["maxconn:99999999999999999999\n"],
    ["maint\n", "down\n", "ready\n", "up\n"],
    ["down\n", "maint\n", "ready\n"],
    ["drain\n", "down\n", "up\n", "ready\n"],
    ["maint\n", "drain\n", "ready\n"],
    ["maint 50%\n", "75%\n", "ready\n"],
    ["fail maint\n", "ready up\n"],
    ["down # a, b# c\n"],
    ["down odd # full\n"],
    ["up odd # full\n"],
    ["down\rup\n"],
    ["20%\n\0"],
    ["\0up\n"],
]


def free():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener, listener.getsockname()[1]


def answer(listener, say):
    while True:
        peer, _ = listener.accept()
        with peer:
            try:
                peer.sendall(say().encode("latin-1"))
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(1)
                peer.recv(16)
            except OSError:
                pass


def listen(say):
    listener, port = free()
    threading.Thread(target=answer, args=(listener, say), daemon=True).start()
    return port


def main():
    now = [sequence[0] for sequence in SEQUENCES]
    service = listen(lambda: "")
    agents = [listen(lambda i=i: now[i]) for i in range(len(SEQUENCES))]
    reserved, front = free()
    reserved.close()
    with tempfile.TemporaryDirectory() as folder:
        admin = os.path.join(folder, "admin")
        with open(os.path.join(folder, "cfg"), "w") as cfg:
            cfg.write(f"global\n nbthread 1\n stats socket {admin}\n")
            cfg.write("defaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n timeout check 300ms\n")
            cfg.write(f"listen l\n bind 127.0.0.1:{front}\n balance roundrobin\n")
            for i, port in enumerate(agents):
                cfg.write(f" server s{i} 127.0.0.1:{service} weight 10 maxconn 100 check inter 250ms ")
                cfg.write(f"agent-check agent-port {port} agent-inter 250ms\n")

        def ask(command):
            with socket.socket(socket.AF_UNIX) as control:
                control.connect(admin)
                control.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: control.recv(65536), b"")).decode("latin-1")

        haproxy = subprocess.Popen(["haproxy", "-db", "-f", cfg.name], stdout=sys.stderr)
        try:
            recorded = [[] for _ in SEQUENCES]
            for step in range(max(map(len, SEQUENCES))):
                for i, sequence in enumerate(SEQUENCES):
                    now[i] = sequence[min(step, len(sequence) - 1)]
                time.sleep(2)
                stat = {row["svname"]: row for row in csv.DictReader(io.StringIO(ask("show stat")[2:]))}
                state = {row[3]: row for row in map(str.split, ask("show servers state").splitlines()[2:]) if row}
                for i, sequence in enumerate(SEQUENCES):
                    if step < len(sequence):
                        row, flags = stat[f"s{i}"], state[f"s{i}"]
                        entry = {"reply": sequence[step]}
                        entry |= {key: row[key] for key in ("status", "weight", "slim", "agent_status", "last_agt")}
                        entry["op_state"] = "RUNNING" if flags[5] == "2" else "STOPPED"
                        names = {1: "FORCED_MAINT", 8: "FORCED_DRAIN"}
                        entry["admin_state"] = [name for bit, name in names.items() if int(flags[6]) & bit]
                        entry["uweight"] = int(flags[7])
                        recorded[i].append(entry)
            version = subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout.splitlines()[0]
        finally:
            haproxy.terminate()
            haproxy.wait()
    lines = ",\n".join("  " + json.dumps(sequence) for sequence in recorded)
    print(f'{{\n "source": {json.dumps(version)},\n "sequences": [\n{lines}\n ]\n}}')


main()
