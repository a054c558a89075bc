"""Check a proof of one value, offline: needs this file, the proof, and the log's public key; no other part of the bus.

    python check.py FILE --key 'name+1234abcd+AbCd...='        # or --policy FILE, a C2SP tlog-policy with witnesses

Forms: c2sp.org/tlog-proof@v1, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature, RFC 9162 (trees), RFC 8785 (JSON), RFC 8032
(Ed25519). Exit code 0: the proof holds. 1: it does not; what does not is said.
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

BLOCK = 64


class ProofError(Exception):
    """The proof does not hold; the text says what."""


def require(holds: bool, what: str) -> None:
    """Stop where something does not hold."""
    if not holds:
        raise ProofError(what)


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature (RFC 8032) is of this message: the one call of a library."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_key(vkey: str) -> tuple[str, bytes, int, bytes]:
    """Read a public key `name+id+base64`: its name, id (4 bytes), kind (1 a log's, 4 a witness's) and 32 bytes."""
    require(vkey.count("+") >= 2, "the key is not of the form name+id+base64")
    name, number, text = vkey.strip().split("+", 2)
    key_id, blob = bytes.fromhex(number), base64.b64decode(text, validate=True)
    require(len(blob) == 33 and blob[0] in (1, 4), "the key is not an Ed25519 key of a log or a witness")
    require(key_id == sha256(name.encode(), b"\n", blob)[:4], "the key's id is not that of the key")
    return name, key_id, blob[0], blob[1:]


def signers(note: str, keys: list[str]) -> set[str]:
    """Return those of some keys that signed a note. A signature of a known key that is wrong makes the note worthless."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    found = set()
    for line in filter(None, lines.split("\n")):
        parts = line.split(" ")
        require(len(parts) == 3 and parts[0] == "—", "a line of the checkpoint is no signature")
        blob = base64.b64decode(parts[2])
        for vkey in keys:
            name, key_id, kind, public = read_key(vkey)
            if (parts[1], blob[:4]) != (name, key_id):
                continue
            message, signature = text.encode(), blob[4:]
            if kind == 4:  # the witness says when it has seen the checkpoint
                message = b"cosignature/v1\ntime %d\n" % int.from_bytes(blob[4:12], "big") + message
                signature = blob[12:]
            require(is_signed(public, message, signature), f"the signature of {name} is wrong")
            found.add(vkey)
    return found


def read_policy(note: str, policy: str) -> tuple[list[str], bool]:
    """Read a policy (c2sp.org/tlog-policy): the keys of its logs, and whether enough of its witnesses signed a note."""
    logs, reached, quorum = [], {"none": True}, None
    for words in (line.split() for line in policy.splitlines() if line.strip() and line.strip()[0] != "#"):
        if words[0] == "log":
            logs.append(words[1])
        elif words[0] == "witness":
            reached[words[1]] = bool(signers(note, [words[2]]))
        elif words[0] == "group":
            least = {"all": len(words) - 3, "any": 1}.get(words[2]) or int(words[2])
            reached[words[1]] = sum(reached[name] for name in words[3:]) >= least
        elif words[0] == "quorum":
            quorum = reached[words[1]]
    require(quorum is not None, "the policy names no quorum")
    return logs, bool(quorum)


def read_checkpoint(note: str, policy: str) -> tuple[str, int, bytes]:
    """Read a checkpoint that a policy accepts: its origin, size and tree head."""
    logs, witnessed = read_policy(note, policy)
    require(bool(found := signers(note, logs)), "the checkpoint is not signed by the log's key")
    require(witnessed, "too few witnesses have signed the checkpoint")
    origin, size, head = note.split("\n")[:3]
    require(origin in {read_key(vkey)[0] for vkey in found}, "the checkpoint is of another log")
    return origin, int(size), base64.b64decode(head)


def climb(node: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the tree head to which a path leads from a leaf's hash (RFC 9162, section 2.1.3.2)."""
    require(0 <= index < size, "an index is beyond its tree")
    last = size - 1
    for other in path:
        require(last > 0, "a path is too long")
        if index & 1 or index == last:
            node = sha256(b"\x01", other, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\x01", node, other)
        index, last = index >> 1, last >> 1
    require(last == 0, "a path is too short")
    return node


def hash_entry(entry: dict[str, Any]) -> bytes:
    """Return the hash of an entry's leaf: of its canonical JSON (RFC 8785; an entry has texts and whole numbers alone)."""
    return sha256(b"\x00", json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def commit(row: dict[str, str | None], names: list[str], salt: str) -> str:
    """Return a row's salted commitment: of the salt, its columns' names, and each value behind its length in bytes."""
    text = salt + hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]
    for column in sorted(row):
        value = row[column]
        text += ":" if value is None else f"{len(value.encode())}:{value}"
    return hashlib.sha256(text.encode()).hexdigest()


def check_row(part: dict[str, Any], names: list[str], root: str, what: str) -> None:
    """Check that a row is one of those over which a root of the log stands."""
    position, block = part["position"], part["block"]
    require(commit(part["row"], names, part["salt"]) == block[position % BLOCK], f"{what} is not the one committed to")
    leaf = sha256(b"\x00", "".join(block).encode())
    path = [base64.b64decode(node) for node in part["path"]]
    blocks = -(-part["rows"] // BLOCK)
    require(climb(leaf, position // BLOCK, blocks, path).hex() == root, f"{what} is not under the log's entry")


def check(text: str, policy: str) -> dict[str, Any]:
    """Check a proof under a policy; return what it proves.

    Raises:
        ProofError: It does not hold.
    """
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    require(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra "), "this is no proof of a value")
    said = json.loads(base64.b64decode(lines[1][6:]))
    index = int(lines[2].removeprefix("index "))
    origin, size, root = read_checkpoint(note, policy)
    path = [base64.b64decode(node) for node in lines[3:]]
    entry, golden, source = said["entry"], said["golden"], said["source"]
    require((entry["kind"], source["entry"]["kind"]) == ("publication", "landing"), "it rests on other entries")
    require(climb(hash_entry(entry), index, size, path) == root, "the publication is not in the log")
    files = {name: (rows, top) for name, rows, top in entry["body"]["rows"][golden["table"]]}
    require(files[golden["file"]][0] == golden["rows"], "the golden file has another number of rows")
    check_row(golden, sorted(golden["row"]), files[golden["file"]][1], "the golden row")
    row = golden["row"]
    require(row["entity_id"] == said["id"] and row[said["field"]] == said["value"], "the row says another value")
    ref = f"{source['entry']['body']['run']}/{source['chunk']}/{source['position']}"
    require(f"'ref': {ref}" in row["_sources"], "the golden row does not rest on this record")
    path = [base64.b64decode(node) for node in source["log_path"]]
    require(climb(hash_entry(source["entry"]), source["index"], size, path) == root, "the delivery is not in the log")
    check_row(source, source["names"], source["entry"]["body"]["chunks"][source["chunk"]], "the delivered record")
    publication, delivery = entry["body"]["number"], source["entry"]
    told = {name: said[name] for name in ("entity", "id", "field", "value")}
    told |= {"publication": publication, "published_at": entry["at"], "register": delivery["body"]["dataset"]}
    return told | {"delivered_at": delivery["at"], "log": origin, "log_size": size}


def main() -> int:
    """Check the file that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description="Check a proof of one value, offline.")
    parser.add_argument("file", type=Path)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--key", help="the log's public key: name+id+base64")
    how.add_argument(
        "--policy", type=Path, help="a C2SP tlog-policy: the log, its witnesses, and how many must have signed"
    )
    given = parser.parse_args()
    policy = given.policy.read_text("utf-8") if given.policy else f"log {given.key}\nquorum none\n"
    try:
        found = check(given.file.read_text("utf-8"), policy)
    except (ProofError, ValueError, LookupError, TypeError, OSError) as error:
        sys.stdout.write(f"DOES NOT HOLD: {error}\n")
        return 1
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in found.items()) + "The proof holds.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
