"""What zips are refused before anything in them is read, and which real ones pass."""

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from chalicelib.domain import oneroster, zip_guard
from chalicelib.domain.zip_guard import ZipRefused

ROSTER = Path(__file__).parents[3] / "shared" / "roster"
BAD_ZIPS = ROSTER / "bad-zips-pypi-warehouse"
# The corpus accepts them though their sizes lie; the contract doesn't.
LYING = ("short_usize.zip", "short_usize_zip64.zip")

needs_samples = pytest.mark.skipif(
    not BAD_ZIPS.is_dir(), reason="the folder ../shared with real roster files isn't here"
)


def corpus(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((BAD_ZIPS / folder).glob("*.zip"))]


def make_zip(*files: tuple[str | zipfile.ZipInfo, str | bytes], method: int = 8) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as opened:
        for name, content in files:
            opened.writestr(name, content)
    return out.getvalue()


def code_of(raw: bytes) -> str:
    """Return what the guard says: a code, or `passes`."""
    try:
        zip_guard.judge(io.BytesIO(raw))
    except ZipRefused as refused:
        return refused.code
    return "passes"


# --- the corpus -----------------------------------------------------------------------


@needs_samples
@pytest.mark.parametrize("path", corpus("reject"), ids=lambda path: path.stem)
def test_a_zip_that_two_programs_read_differently_is_refused(path):
    with path.open("rb") as source, pytest.raises(ZipRefused):
        zip_guard.judge(source)


@needs_samples
@pytest.mark.parametrize("name", LYING)
def test_a_zip_whose_sizes_lie_is_refused(name):
    with (BAD_ZIPS / "accept" / name).open("rb") as source, pytest.raises(ZipRefused):
        zip_guard.judge(source)


@needs_samples
def test_the_sound_zips_of_the_corpus_pass_and_end_for_want_of_a_manifest():
    sound = [path for path in corpus("accept") if path.name not in LYING]

    assert len(sound) == 8
    for path in sound:
        with path.open("rb") as source, pytest.raises(oneroster.SetRejected) as rejected:
            oneroster.open_set(source)
        assert [fault.code for fault in rejected.value.faults] == ["manifest.missing"], path.name


@needs_samples
def test_a_zip_written_as_a_stream_passes():
    path = ROSTER / "edfi-grandbend-derived" / "grandbend-v1p1-streamed.zip"

    with path.open("rb") as source:
        _, entries = zip_guard.judge(source)

    assert len(entries) == 11


# --- names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["users.csv"], "passes"),
        (["export/users.csv", "export/orgs.csv"], "passes"),
        (["export/", "export/users.csv"], "passes"),
        (["users.csv", "__MACOSX/._users.csv"], "passes"),
        (["export/users.csv", "__MACOSX/export/._users.csv"], "passes"),
        (["../users.csv"], "zip.path"),
        (["export/../users.csv"], "zip.path"),
        (["/users.csv"], "zip.path"),
        (["C:users.csv"], "zip.path"),
        (["a\\users.csv"], "zip.path"),
        (["./users.csv"], "zip.path"),
        (["a/b/users.csv"], "zip.path"),
        (["a//users.csv"], "zip.path"),
        (["a/users.csv", "b/orgs.csv"], "zip.path"),
        (["users.csv", "a/users.csv"], "zip.path"),
        (["users.csv", "__MACOSX/../x.csv"], "zip.path"),
        (["users\n.csv"], "zip.path"),
        (["users\u202e.csv"], "zip.path"),
        (["x" * 256], "zip.path"),
        (["users.csv", "Users.csv"], "zip.duplicate"),
        (["old.zip", "users.csv"], "zip.nested"),
        (["users.csv.GZ"], "zip.nested"),
        ([f"{n}.csv" for n in range(40)], "passes"),
        ([f"{n}.csv" for n in range(41)], "zip.too-many-entries"),
        ([f"__MACOSX/{n}" for n in range(41)], "zip.too-many-entries"),
    ],
)
def test_files_lie_at_the_root_or_in_one_folder_under_plain_names(names, expected):
    raw = make_zip(*((name, "") for name in names))

    assert code_of(raw) == expected


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused():
    assert code_of(make_zip(("users.csv", "a"), ("users.csv", "b"))) == "zip.duplicate"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(kind):
    link = zipfile.ZipInfo("users.csv")
    link.external_attr = (kind | 0o777) << 16

    assert code_of(make_zip((link, "/etc/passwd"))) == "zip.symlink"


def test_an_archive_in_disguise_is_refused():
    assert code_of(make_zip(("users.csv", make_zip(("a", "b"))))) == "zip.nested"


# --- bytes that belong to nothing ---------------------------------------------------------

SOUND = make_zip(("users.csv", "sourcedId\n" * 50), ("orgs.csv", "sourcedId\n"))


def patched(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def directory_at(raw: bytes) -> int:
    return raw.index(b"PK\x01\x02")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "zip.not-a-zip"),
        (b"sourcedId,status\n", "zip.not-a-zip"),
        (SOUND, "passes"),
        (b"MZ" + SOUND, "zip.malformed"),
        (SOUND + b"\n", "zip.malformed"),
        (SOUND[:-1], "zip.not-a-zip"),
        (SOUND[40:], "zip.malformed"),
        # encrypted, said in the directory
        (patched(SOUND, directory_at(SOUND) + 8, b"\x01\x00"), "zip.encrypted"),
        # encrypted, said in the local header only
        (patched(SOUND, 6, b"\x01\x00"), "zip.malformed"),
        # bzip2
        (patched(SOUND, directory_at(SOUND) + 10, b"\x0c\x00"), "zip.method"),
        # another name in the local header
        (patched(SOUND, 30, b"xsers.csv"), "zip.malformed"),
        # another checksum in both
        (
            patched(patched(SOUND, directory_at(SOUND) + 16, b"1234"), 14, b"1234"),
            "zip.size",
        ),
    ],
)
def test_every_byte_belongs_to_a_file_or_to_the_directory(raw, expected):
    assert code_of(raw) == expected


@pytest.mark.parametrize("at", range(0, len(SOUND), 7))
def test_a_damaged_zip_is_refused_or_read_as_before(at):
    """One byte changed anywhere: never another exception, never other contents."""
    damaged = patched(SOUND, at, bytes([SOUND[at] ^ 0x15]))

    if code_of(damaged) == "passes":
        opened, entries = zip_guard.judge(io.BytesIO(damaged))
        sizes = sorted(len(opened.read(entry.path)) for entry in entries)
        assert sizes == [10, 500]


# --- sizes ------------------------------------------------------------------------------


def zeros(megabytes: int) -> tuple[bytes, int]:
    """Return deflated zeros and their checksum."""
    deflate, crc = zlib.compressobj(9, zlib.DEFLATED, -15), 0
    packed = []
    for _ in range(megabytes):
        block = bytes(1024**2)
        crc = zlib.crc32(block, crc)
        packed.append(deflate.compress(block))
    return b"".join([*packed, deflate.flush()]), crc


def one_file(packed: bytes, crc: int, size: int, *, method: int = 8) -> bytes:
    """Write a zip of one users.csv by hand, with whatever size it claims."""
    name = b"users.csv"
    numbers = struct.pack("<3L2H", crc, len(packed), size, len(name), 0)
    local = b"PK\x03\x04" + struct.pack("<5H", 20, 0, method, 0, 33) + numbers + name
    central = b"PK\x01\x02" + struct.pack("<6H", 20, 20, 0, method, 0, 33) + numbers
    central += struct.pack("<3H2L", 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local + packed), 0)
    return local + packed + central + end


def peak_of(raw: bytes) -> tuple[str, int]:
    """Return what the guard says and the most memory it took beyond the zip itself."""
    tracemalloc.start()
    try:
        return code_of(raw), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_by_what_it_claims():
    packed, crc = zeros(200)

    assert code_of(one_file(packed, crc, 200 * 1024**2)) == "zip.ratio"


def test_a_bomb_with_forged_sizes_is_refused_with_flat_memory():
    """It claims to unpack tenfold and unpacks a thousandfold; both headers agree on the lie."""
    packed, crc = zeros(400)
    said, peak = peak_of(one_file(packed, crc, 10 * len(packed)))

    assert said == "zip.size"
    assert peak < 8 * 1024**2


def test_ten_gigabytes_behind_ten_megabytes_are_refused_with_flat_memory():
    """A true bomb: blocks of zeros that a full flush made repeatable, ten gigabytes in all."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(64 * 1024**2)) + deflate.flush(zlib.Z_FULL_FLUSH)
    bomb = block * 160 + zlib.compress(b"", 9, -15)
    assert len(bomb) < 11 * 1024**2

    for claimed, expected in ((2**32 - 2, "zip.ratio"), (20 * len(bomb), "zip.size")):
        said, peak = peak_of(one_file(bomb, 0, claimed))
        assert (said, peak < 8 * 1024**2) == (expected, True), peak


def test_a_file_that_says_too_much_or_too_little_is_refused():
    packed = zlib.compress(b"sourcedId\n", 9, -15)
    crc = zlib.crc32(b"sourcedId\n")

    assert code_of(one_file(packed, crc, 10)) == "passes"
    assert code_of(one_file(packed, crc, 9)) == "zip.size"
    assert code_of(one_file(packed, crc, 11)) == "zip.size"
    assert code_of(one_file(packed + b"x", crc, 10)) == "zip.malformed"
    assert code_of(one_file(packed[:-1], crc, 10)) != "passes"
    assert code_of(one_file(b"sourcedId\n", crc, 10, method=0)) == "passes"
    assert code_of(one_file(b"sourcedId\n", crc, 9, method=0)) == "zip.size"


def test_a_small_file_may_pack_well():
    assert code_of(make_zip(("users.csv", "a" * 500_000))) == "passes"


def test_the_whole_may_not_unpack_to_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(zip_guard, "MAX_UNPACKED_BYTES", 99)

    assert code_of(make_zip(("a.csv", "x" * 50), ("b.csv", "x" * 49))) == "passes"
    assert code_of(make_zip(("a.csv", "x" * 50), ("b.csv", "x" * 50))) == "zip.too-large"


def test_a_zip_over_the_packed_limit_is_refused_unread(monkeypatch):
    monkeypatch.setattr(zip_guard, "MAX_PACKED_BYTES", len(SOUND) - 1)

    assert code_of(SOUND) == "zip.too-large"
