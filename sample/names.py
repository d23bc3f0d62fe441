"""Names of made-up people, with accents, apostrophes, kana and Hangul, and their streets."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A name as it is written, and its plain spelling for an e-mail address."""

    written: str
    plain: str


@dataclass(frozen=True)
class Pool:
    """Names that go together; a family draws from one pool. None: nobody knows the language."""

    family: tuple[Name, ...]
    feminine: tuple[Name, ...]
    masculine: tuple[Name, ...]
    languages: tuple[str | None, ...]


def _names(text: str) -> tuple[Name, ...]:
    """Take names parted by commas, each `written` or `written=plain`."""
    pairs = (" ".join(name.split()).partition("=") for name in text.split(","))
    return tuple(
        Name(written, plain or re.sub(r"[^a-z]", "", written.lower()))
        for written, _, plain in pairs
    )


POOLS = (
    Pool(
        _names("Whitfield, Okafor, Johnson, Carter, O'Neill, D’Angelo=dangelo, Brooks-Hale"),
        _names("Imani, Grace, Zoë=zoe, Naomi, Chloé=chloe, Aaliyah, Ruth, Siân=sian, Harper, Eve"),
        _names("Marcus, Elijah, Noël=noel, Isaiah, Caleb, De'Andre, Theo, Jonah, Miles, Owen"),
        ("en", "en", "en", None),
    ),
    Pool(
        _names("""Hernández García=hernandez, Peña=pena, Ríos=rios, Núñez=nunez, Gómez=gomez,
                  de la Cruz=delacruz"""),
        _names("""Sofía=sofia, Lucía=lucia, Ximena, María José=mariajose, Belén=belen, Inés=ines,
                  Camila, Rocío=rocio"""),
        _names("""José=jose, Ángel=angel, Mateo, Iñaki=inaki, Andrés=andres, Raúl=raul, Luis,
                  Óscar=oscar"""),
        ("es", "es", "es", "en", None),
    ),
    Pool(
        _names("Nguyễn=nguyen, Trần=tran, Phạm=pham, Đặng=dang, Võ=vo"),
        _names("Thảo=thao, Linh, Mai, Hương=huong, Ngọc=ngoc, Vy, An, Lan"),
        _names("Minh, Đức=duc, Tuấn=tuan, Khôi=khoi, Bảo=bao, Long, Phúc=phuc, Sơn=son"),
        ("en", None),
    ),
    Pool(
        _names("たなか=tanaka, さとう=sato, やまもと=yamamoto, スミス=sumisu"),
        _names("""さくら=sakura, ゆき=yuki, はな=hana, あおい=aoi, エミ=emi, りん=rin, めい=mei,
                  かな=kana"""),
        _names("""はると=haruto, けん=ken, そら=sora, レオ=reo, だいき=daiki, りく=riku, しん=shin,
                  じん=jin"""),
        ("en", None),
    ),
    Pool(
        _names("""Kowalczyk, Łukaszewicz=lukaszewicz, Šimůnek=simunek, Øster=oster,
                  Wolfeschlegelsteinhausenbergerdorff"""),
        _names("Zofia, Anežka=anezka, Małgorzata=malgorzata, Freya, Åsa=asa, Jana, Ida, Eva"),
        _names("Łukasz=lukasz, Jiří=jiri, Søren=soren, Jan, Filip, Emil, Max, Otto"),
        ("en", "en", None),
    ),
    Pool(
        _names("Abdi, Al-Rashid=alrashid, N'Diaye=ndiaye, Tesfaye, Patel, Kaur, Kim, 김=kim"),
        _names("Amina, Fatou, Hana, Priya, Ji-woo=jiwoo, Selam, 지우=jiu, Leila"),
        _names("Yusuf, Omar, Arjun, Dawit, Min-jun=minjun, Ibrahim, Moussa, Ravi"),
        ("en", None),
    ),
)  # fmt: skip

STREETS = (
    *("Peach Tree Lane", "Oak Street", "Ninth Avenue", "Sweetgum Way", "O'Hara Drive"),
    *("Rue de la Forêt", "Mill Road"),
)
FLATS = ("", "", "", "Apt. 4", "Unit 12, rear", "# 7")
CITY, STATE = "Fairview", "GA"
