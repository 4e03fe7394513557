"""A QR code (ISO/IEC 18004) as PNG, of the one size that the URI of an MFA device needs: version 9, level L, byte mode, mask 0."""

from __future__ import annotations

import struct
import zlib

VERSION, SIZE, BLOCKS, DATA, CHECK = 9, 53, 2, 116, 30
CAPACITY = BLOCKS * DATA - 3
_ALIGNED = (6, 26, 46)
_FORMAT = 0b111011111000100  # level L, mask 0
_PIXELS, _QUIET = 4, 4
Grid = list[list[int | None]]


def png(text: str) -> bytes:
    """Text beyond the capacity is cut off at its end: callers put what matters first."""
    return _picture(matrix(text.encode()[:CAPACITY]))


def matrix(data: bytes) -> list[list[int]]:
    """Rows of modules, 1 is dark."""
    grid: Grid = [[None] * SIZE for _ in range(SIZE)]
    _patterns(grid)
    bits = [byte >> shift & 1 for byte in _codewords(data) for shift in range(7, -1, -1)]
    for row, column in _path(grid):
        bit = bits.pop(0) if bits else 0
        grid[row][column] = bit ^ ((row + column) % 2 == 0)
    return [[int(cell or 0) for cell in row] for row in grid]


# --- codewords -----------------------------------------------------------------------------------------


def _codewords(data: bytes) -> list[int]:
    bits = f"0100{len(data):08b}" + "".join(f"{byte:08b}" for byte in data) + "0000"
    bits = bits[: BLOCKS * DATA * 8].ljust(-(-len(bits) // 8) * 8, "0")
    words = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)][: BLOCKS * DATA]
    words += [(0xEC, 0x11)[i % 2] for i in range(BLOCKS * DATA - len(words))]
    blocks = [words[i * DATA : (i + 1) * DATA] for i in range(BLOCKS)]
    checks = [_check(block) for block in blocks]
    return [block[i] for i in range(DATA) for block in blocks] + [check[i] for i in range(CHECK) for check in checks]


def _times(a: int, b: int) -> int:
    """In the field of 256 elements with x⁸ + x⁴ + x³ + x² + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def _check(block: list[int]) -> list[int]:
    """The Reed-Solomon words of a block."""
    generator, root = [1], 1
    for _ in range(CHECK):
        generator = [a ^ _times(b, root) for a, b in zip([*generator, 0], [0, *generator], strict=True)]
        root = _times(root, 2)
    rest = [*block, *[0] * CHECK]
    for i in range(len(block)):
        for j, factor in enumerate(generator):
            rest[i + j] ^= _times(factor, rest[i]) if j else 0
    return rest[len(block) :]


# --- modules -------------------------------------------------------------------------------------------


def _patterns(grid: Grid) -> None:
    for top, left in ((0, 0), (0, SIZE - 7), (SIZE - 7, 0)):
        for row in range(-1, 8):
            for column in range(-1, 8):
                if 0 <= top + row < SIZE and 0 <= left + column < SIZE:
                    ring = max(abs(row - 3), abs(column - 3))
                    grid[top + row][left + column] = int(ring in (0, 1, 3))
    for place in range(8, SIZE - 8):
        grid[6][place] = grid[place][6] = int(place % 2 == 0)
    for row in _ALIGNED:
        for column in _ALIGNED:
            if (row, column) not in ((6, 6), (6, SIZE - 7), (SIZE - 7, 6)):  # the corners are finders
                for down in range(-2, 3):
                    for right in range(-2, 3):
                        grid[row + down][column + right] = int(max(abs(down), abs(right)) != 1)
    _told(grid)


def _told(grid: Grid) -> None:
    """Format and version, each twice."""
    for i in range(15):
        bit = _FORMAT >> i & 1
        grid[i if i < 6 else i + 1 if i < 8 else SIZE - 15 + i][8] = bit
        grid[8][SIZE - 1 - i if i < 8 else 15 - i if i == 8 else 14 - i] = bit
    grid[SIZE - 8][8] = 1
    rest = VERSION << 12
    for shift in range(5, -1, -1):
        rest ^= 0x1F25 << shift if rest >> (12 + shift) & 1 else 0
    word = VERSION << 12 | rest
    for i in range(18):
        grid[i // 3][SIZE - 11 + i % 3] = grid[SIZE - 11 + i % 3][i // 3] = word >> i & 1


def _path(grid: Grid) -> list[tuple[int, int]]:
    """The free modules, in the order in which bits are laid."""
    found, up = [], True
    for right in [*range(SIZE - 1, 6, -2), 5, 3, 1]:
        rows = range(SIZE - 1, -1, -1) if up else range(SIZE)
        found += [(row, column) for row in rows for column in (right, right - 1) if grid[row][column] is None]
        up = not up
    return found


def _picture(modules: list[list[int]]) -> bytes:
    side = (SIZE + 2 * _QUIET) * _PIXELS
    empty, blank = b"\x00" + b"\xff" * side, bytes([255]) * (_QUIET * _PIXELS)
    rows = [b"\x00" + blank + b"".join((b"\x00" if cell else b"\xff") * _PIXELS for cell in row) + blank for row in modules]
    raw = empty * (_QUIET * _PIXELS) + b"".join(row * _PIXELS for row in rows) + empty * (_QUIET * _PIXELS)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + body
