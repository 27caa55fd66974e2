"""What a video file says of itself in its first bytes: its container, its size."""

import os


def container_of(path: str) -> str | None:
    """What a file begins like: 'mp4', 'avi', 'mkv' (also webm), 'ts', or None."""
    with open(path, 'rb') as file:
        head = file.read(189)
    if head[4:8] == b'ftyp':
        return 'mp4'
    if head[:1] == head[188:] == b'G':
        return 'ts'
    return {b'RIFF': 'avi', b'\x1a\x45\xdf\xa3': 'mkv'}.get(head[:4])


def stated_size(path: str) -> int:
    """How many bytes a video file has by its own account; 0 where it gives none."""
    kind, end = container_of(path), 0
    with open(path, 'rb') as file:
        if kind == 'avi':  # some writers forget that the first 8 bytes do not count
            end = int.from_bytes(file.read(8)[4:], 'little')
        if kind == 'mkv':  # the segment, whose size is a number that has its own length
            head = file.read(256)
            begin = head.find(b'\x18\x53\x80\x67') + 4
            length = 9 - int.from_bytes(head[begin : begin + 1], 'big').bit_length()
            most = (1 << 7 * length) - 1  # stands for unknown
            size = int.from_bytes(head[begin : begin + length], 'big') & most
            end = begin + length + size if begin >= 4 and size < most else 0
        whole = os.fstat(file.fileno()).st_size
        while kind == 'mp4' and end < whole:  # a row of boxes, each with size and name
            file.seek(end)
            box = file.read(16)
            size = int.from_bytes(box[:4], 'big')
            size = int.from_bytes(box[8:], 'big') if size == 1 else size
            if size < 8 or not box[4:8].isalnum():
                break
            end += size
    return end
