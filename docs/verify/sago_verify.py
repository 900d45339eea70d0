#!/usr/bin/env python3
"""Verifies an export of a Sago appliance's history, offline: python3 sago_verify.py --keys FILE DIR

Written from docs/formats/export.md with the standard library of Python 3.8 or later alone; it shares no code with the
appliance. The checks stand in the order of that page, and the first that fails is the answer:

    ok          exit 0   a majority of the listed nodes signed the tree that every record here was proven to lie in
    tampered    exit 7   something that is here contradicts what was signed
    incomplete  exit 7   something that must be here is not
    wrong_key   exit 7   it was not signed by the keys that you brought along
    unreadable  exit 1   nothing can be said
"""
import argparse
import base64
import datetime
import hashlib
import json
import os
import re
import stat
import sys

RESULT = {"OK": "ok", "WRONG_LOG": "wrong_key", "WRONG_KEY": "wrong_key"}   # of a reason; any other is "tampered"
RESULT.update(dict.fromkeys("NOT_AN_EXPORT IO_ERROR KEYS_UNREADABLE KEPT_UNREADABLE".split(), "unreadable"))
RESULT.update(dict.fromkeys("UNFINISHED FILE_MISSING FILE_SHORT RECORD_GAP EXPORT_RECORD_MISSING ROLLBACK NOT_COMPARABLE "
                            "UNWITNESSED".split(), "incomplete"))
MAX_SMALL, MAX_LINE, MAX_RECORD, MAX_PATH = 64 << 10, 256 << 10, 16 << 10, 64 * 32      # bytes
MAX_NAMES, DEEPEST = 4096, 10                                                          # of a folder, of folders
INT32, INT63, INT64 = (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1
LAST = 253402300799999999                                                              # end of the year 9999
MANIFEST = dict(format=str, scope=str, cluster=str, institution=INT32, institution_code=str, since=INT63, until=INT63,
                first=INT63, end=INT63, minimum=INT63, checkpoint_size=INT63, export_sequence=INT63, complete=bool)
LINE = dict(sequence=INT64, time=None, action=str, institution=str, institution_sequence=INT64, transaction=str, part=INT32,
            actor=str, purpose=str, result=str, detail=dict, leaf_hash=str)
ACTIONS = dict(enumerate((
    "STORE READ SHOW LIST VERIFY USE EXTEND HOLD_PLACE HOLD_RELEASE EXPIRE ERASE SPECIAL_DELETE_REQUEST "
    "SPECIAL_DELETE_APPROVE SPECIAL_DELETE_VETO SPECIAL_DELETE_EXECUTE DENY GRANT_APPLY GRANT_ENDORSE GRANT_DECIDE "
    "GRANT_REVOKE POLICY CLOCK MEMBER CHECKPOINT BACKUP RESTORE DAMAGE REPAIR INSTITUTION DEFINITION CIRCULATION_STOP "
    "CIRCULATION_LIFT REQUEST WITHDRAW RECEIVE PROVIDE IMPORT SIGN_IN SIGN_OUT ENROL BREAK_GLASS REVIEW NODE_START ACT "
    "KEY EXPORT AUDIT ALARM STATE ATTEST PRUNE CARRY ACT_PROPOSE ACT_SIGN ACT_VETO CLOSE EVENT").split(), 1))
RESULTS = dict(enumerate((
    "OK NOT_FOUND EXPIRED CONFLICT NOT_PERMITTED UNKNOWN_PRINCIPAL RETENTION_RULE RETENTION_BASIS DEFINITION "
    "ONE_TIME_USED STALE_OPERATION KEY_SLOT NOT_READY STATE CLOCK MEMBER SIGNATURE INVALID HELD NEEDS_ACT "
    "PURPOSE_REQUIRED RATE_LIMITED TOO_LARGE POLICY SPECIAL_DELETED CIRCULATION_STOPPED SUSPENDED "
    "CLOSED LAPSED SIGNER QUOTA RESTORED").split()))

class Failure(Exception):
    """A check that failed: its reason, where, and a sentence for people."""

def need(holds, reason, where, detail):
    if not holds:
        raise Failure(reason, where, detail)

# ---- signatures ------------------------------------------------------------------------------------------------------

P256 = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff
N256 = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
B256 = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b
G256 = (0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296,
        0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5)
PKIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
P25519, L25519 = 2 ** 255 - 19, 2 ** 252 + 27742317777372353535851937790883648493

def inverse(n, p):
    return pow(n, -1, p)

def multiply(add, zero, point, factor):
    while factor:
        zero = add(zero, point) if factor & 1 else zero
        point, factor = add(point, point), factor >> 1
    return zero

def p256_key(der):
    """The point of a PKIX public key of ECDSA P-256; None for anything else."""
    x, y = int.from_bytes(der[27:59], "big"), int.from_bytes(der[59:], "big")
    good = len(der) == 91 and der.startswith(PKIX) and x < P256 and y < P256 and (y * y - x ** 3 + 3 * x - B256) % P256 == 0
    return (x, y) if good else None

def p256_add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P256 == 0:
        return None
    slope = 3 * (a[0] * a[0] - 1) * inverse(2 * a[1], P256) if a == b else (b[1] - a[1]) * inverse(b[0] - a[0], P256)
    x = (slope * slope - a[0] - b[0]) % P256
    return x, (slope * (a[0] - x) - a[1]) % P256

def der_integer(n):
    raw = n.to_bytes(n.bit_length() // 8 + 1, "big")
    return bytes([2, len(raw)]) + raw

def ecdsa_verify(key, message, der):
    r = int.from_bytes(der[4:4 + der[3]], "big") if len(der) > 8 else 0
    s = int.from_bytes(der[6 + der[3]:], "big") if r else 0
    if not (0 < r < N256 and 0 < s < N256):
        return False
    body = der_integer(r) + der_integer(s)
    w = inverse(s, N256)
    u, v = int.from_bytes(hashlib.sha256(message).digest(), "big") * w % N256, r * w % N256
    point = p256_add(multiply(p256_add, None, G256, u), multiply(p256_add, None, p256_key(key), v))
    return bytes([0x30, len(body)]) + body == der and point is not None and point[0] % N256 == r

D25519 = -121665 * inverse(121666, P25519) % P25519

def ed_add(p, q):
    t = D25519 * p[0] * p[1] * q[0] * q[1] % P25519
    return ((p[0] * q[1] + p[1] * q[0]) * inverse(1 + t, P25519) % P25519,
            (p[1] * q[1] + p[0] * q[0]) * inverse(1 - t, P25519) % P25519)

def ed_point(raw):
    """Decodes a point of edwards25519 (RFC 8032, 5.1.3); None when there is none."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, (y & (1 << 255) - 1) % P25519
    square = (y * y - 1) * inverse(D25519 * y * y + 1, P25519) % P25519
    x = pow(square, (P25519 + 3) // 8, P25519)
    x = x if (x * x - square) % P25519 == 0 else x * pow(2, (P25519 - 1) // 4, P25519) % P25519
    return None if (x * x - square) % P25519 else (x if x & 1 == sign else -x % P25519, y)

def ed25519_verify(key, message, signature):
    public, s = ed_point(key), int.from_bytes(signature[32:], "little")
    if public is None or s >= L25519:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L25519
    base = ed_point((4 * inverse(5, P25519) % P25519).to_bytes(32, "little"))
    minus = (-public[0] % P25519, public[1])
    x, y = ed_add(multiply(ed_add, (0, 1), base, s), multiply(ed_add, (0, 1), minus, k))
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]

# ---- keys, notes, checkpoints ----------------------------------------------------------------------------------------

def unbase64(text):
    """Decodes base64 in its one encoding; None for any other."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
    return raw if base64.b64encode(raw).decode() == text else None

def key_name(name):
    return 0 < len(name.encode()) <= 256 and not any(c <= " " or c in "+\x7f\ufffd\x85\xa0" for c in name)

class Key:
    """A C2SP verifier key: of a node (kind 2) or a witness (kind 4)."""
    def __init__(self, vkey, kind):
        self.name, shown, encoded = (vkey + "++").split("+", 2)
        raw = unbase64(encoded[:-2]) or b""
        self.kind, self.key = kind, raw[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        good = p256_key(self.key) if kind == 2 else len(self.key) == 32
        if not (good and raw[0] == kind and key_name(self.name) and len(shown) == 8 and self.id.hex() == shown.lower()):
            raise ValueError("%s is no key of its kind" % vkey)

    def verify(self, text, signature):
        if self.kind == 2:
            return ecdsa_verify(self.key, text, signature)
        head = b"cosignature/v1\ntime %d\n" % int.from_bytes(signature[:8], "big")
        return len(signature) == 72 and ed25519_verify(self.key, head + text, signature[8:])

class Keys:
    """A keys file: what you trust."""
    def __init__(self, raw):
        first, *lines = [line.rstrip(" \t\r") for line in raw.decode("utf-8").split("\n")]
        words = [line.partition(" ")[::2] for line in lines if line and line[0] != "#"]
        said = {word: [rest for w, rest in words if w == word] for word, _ in words}
        self.origin, needed = said.pop("origin", [""])[-1], said.get("witnesses-needed", ["0"])
        self.nodes = [Key(vkey, 2) for vkey in said.pop("node", [])]
        former = [Key(vkey, 2).name for vkey in said.pop("former", [])]  # for certificates only
        self.witnesses = [Key(vkey, 4) for vkey in said.pop("witness", [])]
        once = len([w for w, _ in words if w == "origin"]) == 1 and len(needed) == 1 and not set(said) - {"witnesses-needed"}
        good = first == "sago-keys-1" and len(raw) <= MAX_SMALL and re.fullmatch("sago\\.log/[0-9a-f]{32}", self.origin)
        if not (good and once and self.nodes and re.fullmatch("0|[1-9][0-9]{0,4}", needed[0])):
            raise ValueError("a line is missing, too many, or of another form")
        self.needed = int(needed[0])
        twice = any(len({f(k) for k in keys}) < len(keys) for keys in (self.nodes, self.witnesses)
                    for f in (lambda k: k.name, lambda k: k.key))
        if twice or set(former) - {k.name for k in self.nodes} or self.needed > len(self.witnesses):
            raise ValueError("a name or key stands twice, or more witnesses are needed than listed, or a former key is of nobody")

def parse_note(raw):
    """The text of a signed note, and its lines as (name, key id, signature)."""
    note = raw.decode("utf-8")
    at, lines = note.rfind("\n\n"), []
    for line in note[at + 2:-1].split("\n"):
        dash, name, encoded = (line + "  ").split(" ", 2)
        signature = unbase64(encoded[:-2]) or b""
        if dash != "\u2014" or not key_name(name) or len(signature) < 5 or len(lines) == 64:
            raise ValueError("signature line")
        lines.append((name, signature[:4], signature[4:]))
    if at < 0 or len(raw) > MAX_SMALL or not note.endswith("\n"):
        raise ValueError("not a signed note")
    return note[:at + 1], lines

CHECKPOINT = re.compile("(sago\\.log/[0-9a-f]{32})\n(0|[1-9][0-9]*)\n([^\n]*)\nentry (0|[1-9][0-9]*)\n"
                        "clock ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z)\nstate ([^\n]*)\n")

class Checkpoint:
    """A checkpoint that a majority of the listed nodes signed."""
    def __init__(self, raw, keys):
        try:
            text, lines = parse_note(raw)
            origin, size, root, entry, self.clock, state = CHECKPOINT.fullmatch(text).groups()
            self.size, self.root = int(size), unbase64(root)
            clock = datetime.datetime.strptime(self.clock, "%Y-%m-%dT%H:%M:%S.%fZ")
            good = len(self.root) == len(unbase64(state)) == 32 and self.size <= INT63 and int(entry) <= INT64 and clock.year >= 1970
        except (ValueError, AttributeError, TypeError):                    # not text, no match, no base64
            good = False
        need(good, "CHECKPOINT_MALFORMED", "checkpoint", "it is not the signed note of a checkpoint")
        self.clock = None if clock == datetime.datetime(1970, 1, 1) else self.clock
        need(origin == keys.origin, "WRONG_LOG", "checkpoint", "it is of %s, the keys are of %s" % (origin, keys.origin))
        self.signers, self.witnesses = [], []
        for listed, names in ((keys.nodes, self.signers), (keys.witnesses, self.witnesses)):
            for key in listed:
                signed = [key.verify(text.encode(), line[2]) for line in lines if line[:2] == (key.name, key.id)]
                need(all(signed), "SIGNATURE_INVALID", "checkpoint", "the signature of %s does not verify" % key.name)
                names.extend([key.name] if signed else [])
        need(2 * len(self.signers) > len(keys.nodes), "WRONG_KEY", "checkpoint",
             "%d of the %d listed nodes signed, a majority is needed" % (len(self.signers), len(keys.nodes)))

# ---- the tree (RFC 6962) ---------------------------------------------------------------------------------------------

def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()

class Edge:
    """The roots of the complete subtrees of a growing tree, the largest first."""
    def __init__(self, leaves=()):
        self.size, self.roots = 0, []
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf):
        size = self.size
        while size & 1:
            leaf, size = node_hash(self.roots.pop(), leaf), size >> 1
        self.roots.append(leaf)
        self.size += 1

    def root(self):
        result = self.roots[-1]
        for left in self.roots[-2::-1]:
            result = node_hash(left, result)
        return result

def root_by_path(leaf, index, size, path):
    """The root that an inclusion path leads to (RFC 9162, 2.1.3.2); None when its length is another."""
    last = size - 1
    for step in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            leaf = node_hash(step, leaf)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            leaf = node_hash(leaf, step)
        index, last = index >> 1, last >> 1
    return leaf if last == 0 else None

# ---- bytes, records, lines -------------------------------------------------------------------------------------------

class Cursor:
    """Reads big-endian fields."""
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, size):
        if size > len(self.raw) - self.at:
            raise ValueError("it is short")
        self.at += size
        return self.raw[self.at - size:self.at]

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "big", signed=signed)

    def end(self):
        if self.at != len(self.raw):
            raise ValueError("bytes are left over")

class Record:
    """A history record (docs/formats/history-record.md)."""
    def __init__(self, raw):
        c = Cursor(raw)
        if len(raw) > MAX_RECORD or c.number(1) != 1:
            raise ValueError("it is too long, or of another version")
        self.sequence, self.clock = c.number(8), c.number(8, True)
        c.take(8 + 8 + 4)                                                   # the front's claim
        self.action, self.result = c.number(2), c.number(2)
        c.take(8)                                                           # actor
        self.institution, self.own = c.number(4), c.number(8)
        self.transaction, self.part = c.take(c.number(2)), c.number(4)
        c.take(8 + 16 + 4)                                                  # entry, operation, ordinal
        self.effect = c.take(c.number(4))
        c.take(1 + 4)                                                       # detail class and epoch
        c.take(c.number(4))
        c.end()
        self.leaf, self.where = hashlib.sha256(b"\0" + raw).digest(), "record %d" % self.sequence

    def export(self):
        """An EXPORT record's effect: scope, since, until, first, end, minimum; None when it is none."""
        c = Cursor(self.effect)
        if (self.action, self.result, len(c.raw)) != (46, 0, 41):
            return None
        return c.number(1), c.number(8, True), c.number(8, True), c.number(8), c.number(8), c.number(8)

class Bundle(Cursor):
    """A file of entries with a 16-bit length before each."""
    def __init__(self, folder, name, longest):
        super().__init__(folder.read(name, 256 * (2 + longest)))
        self.name = name

    def entry(self):
        try:
            return self.take(self.number(2))
        except ValueError:
            raise Failure("FILE_SHORT", self.name, "it ends within an entry")

    def record(self):
        raw = self.entry()
        try:
            return Record(raw)
        except ValueError as e:
            raise Failure("RECORD_MALFORMED", self.name, str(e))

    def path(self):
        raw = self.entry()
        need(len(raw) % 32 == 0 and len(raw) <= MAX_PATH, "PROOF_INVALID", self.name, "a path of %d bytes" % len(raw))
        return [raw[i:i + 32] for i in range(0, len(raw), 32)]

    def finish(self):
        need(self.at == len(self.raw), "FILE_EXTRA", self.name, "bytes behind its last entry")

def parse_object(raw):
    """A JSON object; a number that is not a whole one from 0 on becomes a list, which no member may be."""
    def whole(text):
        return [] if text[0] == "-" else int(text)

    def never(text):
        raise ValueError(text)
    try:
        found = json.loads(raw.decode("utf-8"), parse_int=whole, parse_float=lambda text: [], parse_constant=never)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

def is_of(value, kind):
    """Kinds: a greatest number, str, bool, dict (of strings), None (string or null)."""
    if kind is None:
        return value is None or isinstance(value, str)
    if kind is dict:
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return isinstance(value, kind) if isinstance(kind, type) else type(value) is int and value <= kind

def has_members(found, kinds):
    return found.keys() == kinds.keys() and all(is_of(found[name], kind) for name, kind in kinds.items())

def instant(micros):
    """Microseconds since 1970 as RFC 3339; None for 0 and for what RFC 3339 cannot say."""
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=min(max(micros, 0), LAST))
    return at.isoformat(timespec="microseconds") + "Z" if 0 < micros <= LAST else None

class Readable:
    """records.jsonl beside the records. Its first failure waits until the records themselves are checked."""
    def __init__(self, file):
        self.file, self.line, self.failure = file, 0, None

    def fail(self, reason, detail):
        self.failure = self.failure or Failure(reason, "records.jsonl line %d" % self.line, detail)

    def hold(self, record):
        if self.failure:
            return
        self.line += 1
        raw = self.file.readline(MAX_LINE)
        if not raw.endswith(b"\n"):
            return self.fail("READABLE_MISMATCH" if len(raw) == MAX_LINE else "FILE_SHORT", "no whole line")
        shown = parse_object(raw)
        if not has_members(shown, LINE):
            return self.fail("READABLE_MISMATCH", "a member is missing, too many, or of another form")
        # A number that has no name here was named by a later version; what is signed is the number.
        proven = dict(sequence=record.sequence, time=instant(record.clock), institution_sequence=record.own, part=record.part,
                      leaf_hash=record.leaf.hex(), action=ACTIONS.get(record.action, shown["action"]),
                      result=RESULTS.get(record.result, shown["result"]))
        wrong = [name for name, value in proven.items() if shown[name] != value]
        if wrong or shown["transaction"].encode("utf-8", "surrogatepass") != record.transaction:
            self.fail("READABLE_MISMATCH", "not what was signed of %s: %s" % (record.where, ", ".join(wrong) or "transaction"))

    def finish(self):
        self.line += 1
        if not self.failure and self.file.read(1):
            self.fail("READABLE_MISMATCH", "a line of no record in the range")
        if self.failure:
            raise self.failure

def said(effect):
    return "nothing of an export" if effect is None else ", ".join("%s %d" % pair for pair in zip(("scope", "since", "until", "first", "end", "minimum"), effect))

def tile_path(prefix, n, width):
    path = "%03d" % (n % 1000)
    while n >= 1000:
        n //= 1000
        path = "x%03d/%s" % (n % 1000, path)
    return "%s/%s%s" % (prefix, path, "" if width == 256 else ".p/%d" % width)

def width_of(n, count):
    """How many of count things tile n has."""
    return max(0, min(256, count - 256 * n))

class Folder:
    """The export on disk. A name that is not a regular file (a link, a pipe) is a missing one."""
    def __init__(self, path):
        self.path = path

    def has(self, name):
        try:
            return stat.S_ISREG(os.lstat(os.path.join(self.path, name)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def open(self, name):
        need(self.has(name), "FILE_MISSING", name, "there is no such file")
        return open(os.path.join(self.path, name), "rb")

    def read(self, name, limit):
        with self.open(name) as f:
            raw = f.read(limit + 1)
        need(len(raw) <= limit, "FILE_EXTRA", name, "it is longer than %d bytes" % limit)
        return raw

    def hashes(self, level, n, size):
        """Hash tile n of a level of a tree of that size, with its name."""
        width = width_of(n, size >> 8 * level)
        name = tile_path("tile/%d" % level, n, width)
        raw = self.read(name, 32 * width)
        need(len(raw) == 32 * width, "FILE_SHORT", name, "%d hashes are wanted" % width)
        return name, [raw[i:i + 32] for i in range(0, len(raw), 32)]

    def names(self, name):
        """The names in a folder in order, and whether each is a folder itself; none when there is no such folder."""
        try:
            with os.scandir(os.path.join(self.path, name)) as entries:
                found = [(e.name, e.is_dir(follow_symlinks=False)) for e, _ in zip(entries, range(MAX_NAMES + 1))]
        except (FileNotFoundError, NotADirectoryError):
            return []
        need(len(found) <= MAX_NAMES, "FILE_EXTRA", name, "more than %d names in one folder" % MAX_NAMES)
        return sorted(found, key=lambda entry: os.fsencode(entry[0]))

# ---- the checks, in the order of the page ----------------------------------------------------------------------------

class Verification:
    def __init__(self, keys, kept, folder, report):
        self.keys, self.kept, self.folder, self.report = keys, kept, folder, report
        self.export, self.singular, self.before = None, 0, 0

    def run(self):
        self.manifest()
        self.checkpoint()
        if self.whole:
            self.tiles()
        with self.folder.open("records.jsonl") as file:
            self.readable = Readable(file)
            self.singles()
            for n in self.bundles:
                self.bundle(n)
            self.export_record()
            self.readable.finish()
        self.nothing_else(".", 0)
        self.compare_kept()
        need(len(self.tree.witnesses) >= self.keys.needed, "UNWITNESSED", "checkpoint",
             "%d witnesses cosigned, %d are needed" % (len(self.tree.witnesses), self.keys.needed))

    def manifest(self):
        try:
            said = parse_object(self.folder.read("export.json", MAX_SMALL))
        except Failure:
            said = {}
        need(said.get("format") == "sago-export-1", "NOT_AN_EXPORT", "export.json", "there is none that says sago-export-1")
        need(said.get("complete") is not False, "UNFINISHED", "export.json", "the export was not finished")
        need(has_members(said, MANIFEST) and said["scope"] in ("tree", "institution")
             and re.fullmatch("[0-9a-f]{32}", said["cluster"]), "MANIFEST_MISMATCH", "export.json",
             "a member is missing, too many, or of another form")
        self.said, self.whole = said, said["scope"] == "tree"
        self.first, self.end, self.minimum, self.at = said["first"], said["end"], said["minimum"], said["export_sequence"]
        self.report.update({name: said[name] for name in said if name in self.report},
                           since=instant(said["since"]), until=instant(said["until"]))

    def checkpoint(self):
        try:
            raw = self.folder.read("checkpoint", MAX_SMALL)
        except Failure as e:
            raise Failure("CHECKPOINT_MALFORMED" if e.args[0] == "FILE_EXTRA" else e.args[0], *e.args[1:])
        self.tree = tree = Checkpoint(raw, self.keys)
        self.size, self.roots = tree.size, {tree.size: tree.root}
        self.report.update(size=self.size, root=tree.root.hex(), clock=tree.clock, signers=tree.signers, witnesses=tree.witnesses)
        need("sago.log/" + self.said["cluster"] == self.keys.origin and self.said["checkpoint_size"] == self.size
             and self.first <= self.end <= self.size and self.minimum <= self.size and self.at < self.size,
             "MANIFEST_MISMATCH", "export.json", "it is not about this checkpoint")
        end = self.end if self.said["until"] else self.size
        some = self.whole and max(self.first, self.minimum) < end
        self.bundles = range(max(self.first // 256, (self.minimum + 255) // 256), (end + 255) // 256) if some else range(0)

    def tiles(self):
        """Hash tiles, depth first: each full tile's root stands in the tile above it."""
        edge, above, sizes = Edge(), {}, {k.size for k in self.kept}

        def look_up(level, n, name, hashes):
            if len(hashes) < 256:
                return
            if n % 256 == 0:
                above[level] = self.folder.hashes(level + 1, n // 256, self.size)
            need(Edge(hashes).root() == above[level][1][n % 256], "TILE_MISMATCH", name, "its root is not in " + above[level][0])
            if n % 256 == 255:
                look_up(level + 1, n // 256, *above[level])
        for n in range((self.size + 255) // 256):
            name, hashes = self.folder.hashes(0, n, self.size)
            for h in hashes:
                edge.add(h)
                if edge.size in sizes:
                    self.roots[edge.size] = edge.root()
            look_up(0, n, name, hashes)
            show("hashes", edge.size, self.size)
        need(edge.root() == self.tree.root, "ROOT_MISMATCH", "tile/0", "these hashes have another root than the signed one")

    def singles(self):
        """Records that come with an inclusion path each; how many there are only their files say."""
        self.next, n, width = self.first, 0, 256
        while width == 256:
            full = tile_path("records", n, 256)
            if not self.folder.has(full):
                widths = [int(name) for name, _ in self.folder.names(full + ".p")
                          if re.fullmatch("[1-9][0-9]{0,2}", name) and self.folder.has(full + ".p/" + name)]
                width = min([w for w in widths if w < 256], default=0)
            if width:
                self.single(n, width)
            n += 1
        self.reach(min(self.end, self.bundles[0] * 256) if self.bundles else self.end)

    def reach(self, number):
        """All numbers before this one were met, or lie below the minimum and may be missing."""
        missing = max(self.next, self.minimum)
        need(number <= missing, "RECORD_GAP", "%s %d" % ("record" if self.whole else "own record", missing), "it was not erased")
        self.next = max(self.next, number)

    def single(self, n, width):
        self.singular += width
        entries = Bundle(self.folder, tile_path("records", n, width), MAX_RECORD)
        paths = Bundle(self.folder, tile_path("proofs", n, width), MAX_PATH)
        for _ in range(width):
            record = entries.record()
            need(self.before <= record.sequence < self.size, "SEQUENCE_MISMATCH", entries.name, record.where + " is misplaced")
            self.before = record.sequence + 1
            root = root_by_path(record.leaf, record.sequence, self.size, paths.path())
            need(root == self.tree.root, "PROOF_INVALID", record.where, "its path does not lead to the signed root")
            self.belongs(record)
        entries.finish()
        paths.finish()
        show("records", self.report["records"], self.end - self.first)

    def belongs(self, record):
        number = record.sequence if self.whole else record.own
        in_range = self.first <= number < self.end
        foreign = record.sequence // 256 in self.bundles if self.whole else record.institution != self.said["institution"]
        need(not foreign and (in_range or record.sequence == self.at), "RECORD_FOREIGN", record.where, "it does not belong here")
        if in_range:
            need(number >= self.next, "SEQUENCE_MISMATCH", record.where, "its number %d comes after %d" % (number, self.next))
            self.reach(number)
            self.next = number + 1
        self.take(record, in_range)

    def bundle(self, n):
        hashes = self.folder.hashes(0, n, self.size)[1]
        entries = Bundle(self.folder, tile_path("tile/entries", n, len(hashes)), MAX_RECORD)
        for sequence, leaf in enumerate(hashes, 256 * n):
            record = entries.record()
            need(record.sequence == sequence, "SEQUENCE_MISMATCH", entries.name, "%s is not %d" % (record.where, sequence))
            need(record.leaf == leaf, "PROOF_INVALID", record.where, "its leaf hash is not the one in the tree")
            self.take(record, self.first <= sequence < self.end)
        entries.finish()
        show("records", self.report["records"], self.end - self.first)

    def take(self, record, in_range):
        self.report["records"] += 1
        self.export = record if record.sequence == self.at else self.export
        if in_range:
            self.readable.hold(record)

    def export_record(self):
        record, where = self.export, "record %d" % self.at
        need(record, "EXPORT_RECORD_MISSING", where, "the EXPORT record is not in the export")
        until = self.said["until"]
        claimed = (1 if self.whole else 2, self.said["since"], until, self.first, self.end, self.minimum)
        ends = until or self.end == (record.sequence if self.whole else record.own) + 1
        need(record.export() == claimed and record.institution == self.said["institution"] and ends, "EXPORT_RECORD_MISMATCH",
             where, "it says %s, export.json says %s" % (said(record.export()), said(claimed)))

    def nothing_else(self, folder, depth):
        need(depth <= DEEPEST, "FILE_EXTRA", folder, "a folder of no part of the export")
        for name, is_folder in self.folder.names(folder):
            path = name if folder == "." else folder + "/" + name
            if is_folder:
                self.nothing_else(path, depth + 1)
            else:
                need(self.expected(path), "FILE_EXTRA", path, "it is no part of the export")

    def expected(self, path):
        if path in ("export.json", "checkpoint", "records.jsonl"):
            return True
        found = re.fullmatch("(records|proofs|tile/entries|tile/[0-7])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\\.p/[0-9]+)?", path)
        if not found:
            return False
        kind, n, count = found[1], int(re.sub("[x/]", "", found[2])), self.size if self.whole else 0
        if kind in ("records", "proofs"):
            count = self.singular
        elif kind == "tile/entries":
            count = count if n in self.bundles else 0
        else:
            count >>= 8 * int(kind[5:])
        return width_of(n, count) > 0 and path == tile_path(kind, n, width_of(n, count))

    def compare_kept(self):
        states = set()
        for k in self.kept:
            root = self.roots.get(k.size)
            state = "forked" if root and root != k.root else "contained" if root else \
                "ahead" if k.size > self.size else "not_comparable"
            self.report["kept"].append({"size": k.size, "state": state})
            states.add(state)
        for state, reason in (("forked", "FORK"), ("ahead", "ROLLBACK"), ("not_comparable", "NOT_COMPARABLE")):
            need(state not in states, reason, "checkpoint", "a kept checkpoint is " + state.replace("_", " "))

def show(what, done, total):
    if sys.stderr.isatty():
        print("\r\033[K%s %d / %d" % (what, done, total), end="\r", file=sys.stderr)

def bring(name, reason, parse):
    """Reads a file that whoever verifies brought along."""
    try:
        with open(name, "rb") as f:
            return parse(f.read(MAX_SMALL + 1))
    except (OSError, ValueError, Failure) as e:
        raise Failure(reason, "", "%s: %s" % (name, e))

def parse_kept(raw, keys):
    """The checkpoints of a file: a note, or one a line with | in the place of line feeds."""
    raw = raw.replace(b"\r\n", b"\n")
    notes = [line.replace(b"|", b"\n") for line in raw.split(b"\n") if line]
    if b"\n\n" in raw and b"|" not in raw:
        return [Checkpoint(raw, keys)]
    if not notes or len(raw) > MAX_SMALL:
        raise ValueError("it holds no checkpoint")
    return [Checkpoint(note if note.endswith(b"\n") else note + b"\n", keys) for note in notes]

def verify(keys_file, kept_files, folder):
    report = dict(result="", reason="OK", where="", detail="", scope="", cluster="", institution=0, institution_code="",
                  since=None, until=None, first=0, end=0, minimum=0, export_sequence=0, size=0, root="", clock=None,
                  signers=[], nodes=0, records=0, witnesses=[], witnesses_needed=0, kept=[])
    try:
        keys = bring(keys_file, "KEYS_UNREADABLE", Keys)
        report.update(nodes=len(keys.nodes), witnesses_needed=keys.needed)
        kept = [k for name in kept_files for k in bring(name, "KEPT_UNREADABLE", lambda raw: parse_kept(raw, keys))]
        Verification(keys, kept, Folder(folder), report).run()
    except Failure as e:
        report.update(zip(("reason", "where", "detail"), e.args))
    except OSError as e:
        report.update(reason="IO_ERROR", where=str(e.filename), detail=str(e.strerror))
    report["result"] = RESULT.get(report["reason"], "tampered")
    return report

def main():
    parser = argparse.ArgumentParser(description="Verifies an export of a Sago appliance's history, offline.")
    parser.add_argument("--keys", metavar="FILE", required=True, help="keys file: what you trust")
    parser.add_argument("--checkpoint", metavar="FILE", action="append", default=[], help="a checkpoint that you kept")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("folder", metavar="DIR")
    arguments = parser.parse_args()
    report = verify(arguments.keys, arguments.checkpoint, arguments.folder)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:                                           # what stands in an export must not steer the terminal
        for name, value in report.items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
            print("%-18s" % name.replace("_", " ") + "".join(c if c.isprintable() else "?" for c in text))
    sys.exit({"ok": 0, "unreadable": 1}.get(report["result"], 7))

if __name__ == "__main__":
    main()
