"""What a zip must be before anything in it is read: one meaning, known limits, nothing hidden.

Two programs can read one zip differently (a second directory, a prefix, sizes that lie). So every
byte must be accounted for: entries lie end to end from the first byte, then the directory, then
the end record, then nothing. After that `zipfile` can only see what was judged here. Source of the
rule: security row S71; the corpus of the Python package index is in the tests.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

# --- limits (docs/roster.md names them) ----------------------------------------

# A set has at most 24 files; the rest is room for notes and a folder.
MAX_ENTRIES = 40
# Finder adds a twin under __MACOSX for each file.
MAX_MAC_TWINS = 40
MAX_PACKED_BYTES = 2 * 1024**3
# A year of a district of 200,000 students is some 5 GB of CSV (28 million results of 100 bytes, 13
# million attendance events of 150).
MAX_UNPACKED_BYTES = 8 * 1024**3
# CSV packs 5 to 30 to one; what packs better than 100 is made to fill a disk.
MAX_RATIO = 100
# A header-only or a tiny file may pack well without harm.
RATIO_FLOOR_BYTES = 1024**2
MAX_DIRECTORY_BYTES = 256 * 1024
MAX_NAME_BYTES = 255

_BLOCK = 256 * 1024
_MAC_FOLDER = "__MACOSX/"

# --- the format (PKWARE APPNOTE 6.3.10) ----------------------------------------

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_EXTRA = struct.Struct("<2H")
_END_SIGN, _END64_SIGN, _LOCATOR64_SIGN = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL_SIGN, _LOCAL_SIGN, _DESCRIPTOR_SIGN = b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08"
_STORED, _DEFLATED = 0, 8
_FLAG_ENCRYPTED, _FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x1, 0x8, 0x800
# Bits 1 and 2 say how hard deflate tried, which changes nothing for a reader.
_FLAGS_KNOWN = 0x2 | 0x4 | _FLAG_DESCRIPTOR | _FLAG_UTF8
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
_EXTRA_ZIP64, _EXTRA_UNICODE_PATH, _EXTRA_UNICODE_COMMENT = 0x0001, 0x7075, 0x6375
_EXTRA_AES = 0x9901
_NESTED_SUFFIXES = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".jar")
_SIGN_MOST = 8
_NESTED_SIGNS = (_LOCAL_SIGN, _END_SIGN, b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!")


class ZipRefused(Exception):
    """The zip is not read at all.

    Attributes:
        code: one of the `zip.…` codes of docs/roster.md.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Entry:
    """One file of a judged zip: `name` inside the wrapper folder, `path` as the zip has it."""

    name: str
    path: str
    size: int


@dataclass(frozen=True)
class _Listed:
    """One record of the central directory."""

    path: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")

    @property
    def is_mac_twin(self) -> bool:
        return self.path.startswith(_MAC_FOLDER)


@dataclass(frozen=True)
class _Directory:
    """Where the central directory lies and how many records it says it has."""

    offset: int
    size: int
    count: int


def judge(source: BinaryIO) -> tuple[zipfile.ZipFile, Sequence[Entry]]:
    """Read the whole zip once, keep nothing, and return it opened with its files.

    Takes a seekable file. Every entry is unpacked in blocks, so that sizes, checksums and ratios
    are known to be true afterwards and memory stays flat whatever the directory claims.

    Raises:
        ZipRefused: the zip breaks a rule of docs/roster.md.
    """
    end = source.seek(0, 2)
    if end > MAX_PACKED_BYTES:
        raise ZipRefused("zip.too-large")
    directory = _find_directory(source, end)
    listed = _read_directory(source, directory)
    _judge_names(listed)
    _judge_sizes(listed)
    _judge_bytes(source, listed, directory.offset)
    return _open(source, listed), _files(listed)


# --- the end of the file ----------------------------------------------------------


def _find_directory(source: BinaryIO, end: int) -> _Directory:
    """Read the end record, of which there is one, and the zip64 pair before it if there is one."""
    tail_at = max(0, end - _END.size - _U16)
    tail = _read(source, tail_at, end - tail_at)
    at = tail.rfind(_END_SIGN)
    if at < 0 or len(tail) - at < _END.size:
        raise ZipRefused("zip.not-a-zip")
    _, disk, directory_disk, on_disk, count, size, offset, comment = _END.unpack_from(tail, at)
    # A signature inside the comment was found first, and then its own comment doesn't fit; a
    # record that was hidden before this one leaves bytes that belong to nothing.
    if at + _END.size + comment != len(tail):
        raise ZipRefused("zip.malformed")
    record_at = tail_at + at
    before = (
        _read(source, record_at - _LOCATOR64.size, _LOCATOR64.size)
        if record_at >= _LOCATOR64.size
        else b""
    )
    if before[:4] == _LOCATOR64_SIGN:
        return _directory64(source, record_at - _LOCATOR64.size, (on_disk, count, size, offset))
    if _U16 in (on_disk, count) or _U32 in (size, offset):
        raise ZipRefused("zip.malformed")
    if disk or directory_disk or on_disk != count or offset + size != record_at:
        raise ZipRefused("zip.malformed")
    return _Directory(offset, size, count)


def _directory64(source: BinaryIO, locator_at: int, short: tuple[int, int, int, int]) -> _Directory:
    """Read the zip64 end record; where the short record has a number of its own, they agree."""
    _, _, record_at, disks = _LOCATOR64.unpack(_read(source, locator_at, _LOCATOR64.size))
    if disks != 1 or record_at + _END64.size != locator_at:
        raise ZipRefused("zip.malformed")
    values = _END64.unpack(_read(source, record_at, _END64.size))
    sign, length, _, _, disk, directory_disk, on_disk, count, size, offset = values
    # Its length field leaves out itself and the signature; more would be an extensible data sector.
    if sign != _END64_SIGN or length != _END64.size - 12 or disk or directory_disk:
        raise ZipRefused("zip.malformed")
    ceilings = (_U16, _U16, _U32, _U32)
    for said, ceiling, true in zip(short, ceilings, (on_disk, count, size, offset), strict=True):
        if said not in (ceiling, true):
            raise ZipRefused("zip.malformed")
    if on_disk != count or offset + size != record_at:
        raise ZipRefused("zip.malformed")
    return _Directory(offset, size, count)


# --- the directory ----------------------------------------------------------------


def _read_directory(source: BinaryIO, directory: _Directory) -> list[_Listed]:
    if directory.count > MAX_ENTRIES + MAX_MAC_TWINS:
        raise ZipRefused("zip.too-many-entries")
    if directory.size > MAX_DIRECTORY_BYTES:
        raise ZipRefused("zip.too-large")
    raw = _read(source, directory.offset, directory.size)
    listed, at = [], 0
    for _ in range(directory.count):
        if len(raw) - at < _CENTRAL.size or raw[at : at + 4] != _CENTRAL_SIGN:
            raise ZipRefused("zip.malformed")
        entry, at = _read_central(raw, at)
        listed.append(entry)
    if at != len(raw):
        raise ZipRefused("zip.malformed")
    return listed


def _read_central(raw: bytes, at: int) -> tuple[_Listed, int]:
    (
        *_, _made_by, _needs, flags, method, _time, _date, crc, packed, size,
        name_length, extra_length, comment_length, disk, _internal, external, offset,
    ) = _CENTRAL.unpack_from(raw, at)  # fmt: skip
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_length
    end = extra_at + extra_length + comment_length
    # A comment of an entry is read by nobody, and a place to hide a directory in.
    if comment_length or disk or end > len(raw):
        raise ZipRefused("zip.malformed")
    raw_name = raw[name_at:extra_at]
    wide = _zip64(raw[extra_at:end], (size, packed, offset))
    size, packed, offset = wide
    if flags & _FLAG_ENCRYPTED:
        raise ZipRefused("zip.encrypted")
    if flags & ~_FLAGS_KNOWN:
        raise ZipRefused("zip.malformed")
    if method not in (_STORED, _DEFLATED):
        raise ZipRefused("zip.method")
    _judge_kind(external)
    path = _path(raw_name, flags)
    return _Listed(path, raw_name, flags, method, crc, packed, size, offset), end


def _extras(raw: bytes) -> dict[int, bytes]:
    """Split the extra field; one that gives another name for the entry is refused."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        if len(raw) - at < _EXTRA.size:
            raise ZipRefused("zip.malformed")
        kind, length = _EXTRA.unpack_from(raw, at)
        at += _EXTRA.size
        if length > len(raw) - at or kind in found:
            raise ZipRefused("zip.malformed")
        if kind in (_EXTRA_UNICODE_PATH, _EXTRA_UNICODE_COMMENT):
            raise ZipRefused("zip.malformed")
        if kind == _EXTRA_AES:
            raise ZipRefused("zip.encrypted")
        found[kind] = raw[at : at + length]
        at += length
    return found


def _zip64(raw_extra: bytes, short: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers, each at its ceiling taken from the zip64 extra, which holds no others."""
    wide = _extras(raw_extra).get(_EXTRA_ZIP64)
    missing = sum(number == _U32 for number in short)
    if wide is None and not missing:
        return short
    if wide is None or not missing or len(wide) != 8 * missing:
        raise ZipRefused("zip.malformed")
    numbers = iter(struct.unpack(f"<{missing}Q", wide))
    return tuple(next(numbers) if number == _U32 else number for number in short)


def _judge_kind(external: int) -> None:
    """Refuse what is neither a file nor a folder: symbolic links, devices."""
    kind = stat.S_IFMT(external >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ZipRefused("zip.symlink")


# --- names ------------------------------------------------------------------------


def _path(raw_name: bytes, flags: int) -> str:
    if not 0 < len(raw_name) <= MAX_NAME_BYTES:
        raise ZipRefused("zip.path")
    if not raw_name.isascii() and not flags & _FLAG_UTF8:
        raise ZipRefused("zip.path")
    try:
        path = raw_name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ZipRefused("zip.path") from error
    parts = path.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or ":" in path:
        raise ZipRefused("zip.path")
    if not path.isprintable():
        raise ZipRefused("zip.path")
    return path


def _judge_names(listed: Sequence[_Listed]) -> None:
    twins = sum(entry.is_mac_twin for entry in listed)
    if len(listed) - twins > MAX_ENTRIES or twins > MAX_MAC_TWINS:
        raise ZipRefused("zip.too-many-entries")
    # On a disk that doesn't know case the second would overwrite the first.
    if len({entry.path.removesuffix("/").casefold() for entry in listed}) != len(listed):
        raise ZipRefused("zip.duplicate")
    places = set()
    for entry in listed:
        if entry.is_mac_twin:
            continue
        if entry.path.lower().endswith(_NESTED_SUFFIXES):
            raise ZipRefused("zip.nested")
        folder, slash, rest = entry.path.partition("/")
        if "/" in rest:
            raise ZipRefused("zip.path")
        places.add(folder if slash else "")
    # Files at the root, or all in one wrapper folder: two places could hold two sets.
    if len(places) > 1:
        raise ZipRefused("zip.path")


def _files(listed: Sequence[_Listed]) -> list[Entry]:
    return [
        Entry(entry.path.rpartition("/")[2], entry.path, entry.size)
        for entry in listed
        if not entry.is_folder and not entry.is_mac_twin
    ]


# --- sizes and bytes --------------------------------------------------------------


def _judge_sizes(listed: Sequence[_Listed]) -> None:
    """Refuse by what the directory claims; `_unpack` then holds each entry to its claim."""
    if sum(entry.size for entry in listed) > MAX_UNPACKED_BYTES:
        raise ZipRefused("zip.too-large")
    for entry in listed:
        if entry.size > RATIO_FLOOR_BYTES and entry.size > MAX_RATIO * entry.packed:
            raise ZipRefused("zip.ratio")
        if entry.is_folder and entry.size:
            raise ZipRefused("zip.malformed")


def _judge_bytes(source: BinaryIO, listed: Sequence[_Listed], directory_at: int) -> None:
    """Follow the entries from the first byte to the directory; no byte is skipped or read twice."""
    at = 0
    for entry in sorted(listed, key=lambda each: each.offset):
        if entry.offset != at:
            raise ZipRefused("zip.malformed")
        data_at, wide = _judge_local(source, entry)
        if data_at + entry.packed > directory_at:
            raise ZipRefused("zip.malformed")
        _unpack(source, entry, data_at)
        at = data_at + entry.packed
        if entry.flags & _FLAG_DESCRIPTOR:
            at = _judge_descriptor(source, entry, at, wide=wide)
    if at != directory_at:
        raise ZipRefused("zip.malformed")


def _judge_local(source: BinaryIO, entry: _Listed) -> tuple[int, bool]:
    """Compare the local header with the directory; return where data begins and if it is zip64."""
    header = _LOCAL.unpack(_read(source, entry.offset, _LOCAL.size))
    sign, _, flags, method, _, _, crc, packed, size, name_length, extra_length = header
    variable = _read(source, entry.offset + _LOCAL.size, name_length + extra_length)
    if sign != _LOCAL_SIGN or variable[:name_length] != entry.raw_name:
        raise ZipRefused("zip.malformed")
    if flags != entry.flags or method != entry.method:
        raise ZipRefused("zip.malformed")
    # APPNOTE 4.5.3: in a local header the zip64 extra has both sizes.
    wide = _U32 in (size, packed)
    size, packed = _zip64(variable[name_length:], (size, packed))
    if (crc, packed, size) != (entry.crc, entry.packed, entry.size) and (
        not flags & _FLAG_DESCRIPTOR or (crc, packed, size) != (0, 0, 0)
    ):
        # Written as a stream the numbers follow the data, and the header has zeros.
        raise ZipRefused("zip.malformed")
    return entry.offset + _LOCAL.size + name_length + extra_length, wide


def _judge_descriptor(source: BinaryIO, entry: _Listed, at: int, *, wide: bool) -> int:
    """Compare data descriptor and directory; return where it ends. Its signature is optional."""
    body = struct.pack("<LQQ" if wide else "<LLL", entry.crc, entry.packed, entry.size)
    for expected in (_DESCRIPTOR_SIGN + body, body):
        if _read_up_to(source, at, len(expected)) == expected:
            return at + len(expected)
    raise ZipRefused("zip.malformed")


def _unpack(source: BinaryIO, entry: _Listed, data_at: int) -> None:
    """Unpack one entry in blocks, hold it to size and checksum, stop at the first byte too many."""
    source.seek(data_at)
    size, crc, first = 0, 0, b""
    inflate = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
    left = entry.packed
    while True:
        packed = b""
        if inflate is None or not inflate.unconsumed_tail:
            packed = source.read(min(_BLOCK, left))
            left -= len(packed)
        block = _inflate(inflate, packed)
        size += len(block)
        if size > entry.size:
            raise ZipRefused("zip.size")
        crc = zlib.crc32(block, crc)
        if len(first) < _SIGN_MOST:
            first += block[:_SIGN_MOST]
        if not block and not packed:
            break
    # Deflated data says where it ends; nothing may follow that.
    if inflate is not None and (not inflate.eof or inflate.unused_data):
        raise ZipRefused("zip.malformed")
    if left or size != entry.size or crc != entry.crc:
        raise ZipRefused("zip.size")
    if first.startswith(_NESTED_SIGNS):
        raise ZipRefused("zip.nested")


def _inflate(inflate: "zlib._Decompress | None", packed: bytes) -> bytes:
    if inflate is None:
        return packed
    try:
        return inflate.decompress(inflate.unconsumed_tail + packed, _BLOCK)
    except zlib.error as error:
        raise ZipRefused("zip.malformed") from error


def _read_up_to(source: BinaryIO, at: int, length: int) -> bytes:
    source.seek(at)
    return source.read(length)


def _read(source: BinaryIO, at: int, length: int) -> bytes:
    raw = _read_up_to(source, at, length)
    if len(raw) != length:
        raise ZipRefused("zip.malformed")
    return raw


def _open(source: BinaryIO, listed: Sequence[_Listed]) -> zipfile.ZipFile:
    """Open with the standard library, which must see the very entries that were judged."""
    try:
        opened = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ZipRefused("zip.malformed") from error
    seen: Callable[[zipfile.ZipInfo], tuple[str, int, int, int]] = lambda i: (  # noqa: E731
        i.filename, i.header_offset, i.compress_size, i.file_size
    )  # fmt: skip
    judged = [(entry.path, entry.offset, entry.packed, entry.size) for entry in listed]
    if [seen(info) for info in opened.infolist()] != judged:
        raise ZipRefused("zip.malformed")
    return opened
