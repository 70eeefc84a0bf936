"""How a session that failed is shown."""
import story as stories

WIDTH = 56


def fault_of(session, models, rule):
    """What is wrong with it, or "".  Also the model that tells how it went."""
    got, sent = bytes(session.client.got), session.told_server()
    for model in models:
        if model.client_may_have(got, session.loss) and \
                model.server_may_have(sent, session.loss) and \
                not model.chunks_fault():
            return rule or "", model
    faults = []
    for model in models:
        if not model.client_may_have(got, session.loss):
            faults.append(differ("the client", got, bytes(model.to_client)))
        elif model.chunks_fault():
            faults.append(model.chunks_fault())
        else:
            faults.append(differ("the server", sent, bytes(model.to_server)))
    return "\n  or: ".join(faults + [rule] * bool(rule)), models[0]


def differ(who, got, must):
    at = next((i for i, (a, b) in enumerate(zip(got, must)) if a != b),
              min(len(got), len(must)))
    begin = max(at - 60, 0)
    return f"{who}, byte {at} of {len(must)}:\n" \
           f"    should get ...{stories.show(must[begin:at + 100])}\n" \
           f"    but it got ...{stories.show(got[begin:at + 100])}"


def joined(events):
    """Neighbouring pieces of one direction as one."""
    out = []
    for who, way, data in events:
        if out and out[-1][:2] == [who, way]:
            out[-1][2] += data
        else:
            out.append([who, way, data])
    return out


def transcript(session):
    """Both sides beside each other: the client's on the left, in order of time."""
    lines = [f"{'client':{WIDTH + 2}} | server"]
    for who, way, data in joined(session.events):
        for line in data.split(b"\r\n"):
            text = f"{way} {stories.show(line, WIDTH - 18)}"
            if line:
                lines.append(f"{text:{WIDTH + 2}} |" if who == "C"
                             else f"{'':{WIDTH + 2}} | {text}")
    return "\n".join(lines)
