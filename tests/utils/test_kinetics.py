"""The list of a downloaded Kinetics split."""

import os

import pytest

from glore_mm.utils.errors import UserError
from glore_mm.utils.kinetics import kinetics400_classes, write_kinetics_list

CSV = (
    'label,youtube_id,time_start,time_end,split,is_cc\n'
    'testifying,---QUuC4vJs,84,94,train,0\n'
    '"tying knot (not on a tie)",--3ouPhoy2A,20.0,30.0,train,0\n'
    'abseiling,gone1234567,1,11,train,0\n'
    "massaging person's head,-0-abcdefgh,115,125,train,1\n"
)


@pytest.fixture
def videos(tmp_path):
    for name in (
        '---QUuC4vJs_000084_000094.mp4',
        'tying knot/--3ouPhoy2A_000020_000030.mkv',
        'deep/er/-0-abcdefgh_000115_000125.mp4',
        'deep/er/-0-abcdefgh_000999_001009.mp4',  # another part of the video
        'notes.txt',
    ):
        path = tmp_path / 'videos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'0')
    (tmp_path / 'train.csv').write_text(CSV)
    return tmp_path


def test_existing_videos_are_listed(tool, videos):
    done = tool('kinetics_list', 'train.csv', 'videos', 'list.txt', cwd=videos)
    assert done.stdout == 'list.txt: 3 videos; 1 of the CSV are not there\n'
    names = kinetics400_classes()
    lines = (videos / 'list.txt').read_text().splitlines()
    found = {
        path: names[int(label)] for path, label in (x.rsplit(' ', 1) for x in lines)
    }
    assert found == {
        '---QUuC4vJs_000084_000094.mp4': 'testifying',
        'tying knot/--3ouPhoy2A_000020_000030.mkv': 'tying knot (not on a tie)',
        'deep/er/-0-abcdefgh_000115_000125.mp4': "massaging person's head",
    }


def test_classes_are_400_in_alphabetical_order():
    names = kinetics400_classes()
    assert len(set(names)) == 400
    assert list(names) == sorted(names)
    # mmaction2 sorts with underscores, which gives the same order
    assert [n.replace(' ', '_') for n in names] == sorted(
        n.replace(' ', '_') for n in names
    )


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'cannot be read: No such file'),
        ('label,youtube_id\nabseiling,x\n', 'no column time_start, time_end; it has'),
        ('', 'has no column label, youtube_id, time_start, time_end; it has: none'),
        (b'\xff', 'odd.csv is not UTF-8 text'),
        (CSV + 'x' * 200_000, 'odd.csv, line 6, cannot be read as CSV: field larger'),
        (
            CSV.replace('abs', '"two\nlines",x,0,1\nabs'),
            r'line 5: .two\\nlines. is not one',
        ),
        (CSV.splitlines()[0], 'has none of the 0 videos'),
        (CSV.replace('testifying', 'flying'), "line 2: 'flying' is not one of the 400"),
        (CSV.replace('20.0', 'soon'), 'line 3: expected a label, an id and two times'),
        (CSV + 'abseiling,x\n', 'line 6: expected a label, an id and two times'),
    ],
)
def test_wrong_annotations(videos, text, message):
    path = videos / 'odd.csv'
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        write_kinetics_list(str(path), str(videos / 'videos'), str(videos / 'out.txt'))
    assert not (videos / 'out.txt').exists()


@pytest.mark.parametrize('folder', [' ', 'two\nlines', b'\xff'])
def test_a_path_that_does_not_fit_into_a_line(videos, folder):
    name = '---QUuC4vJs_000084_000094.mp4'
    path = videos / 'videos' / os.fsdecode(folder)
    path.mkdir()
    (videos / 'videos' / name).rename(path / name)
    with pytest.raises(UserError, match='---QUu.* cannot be written to a list'):
        write_kinetics_list(
            str(videos / 'train.csv'), str(videos / 'videos'), str(videos / 'out.txt')
        )


def test_no_video_there(videos):
    with pytest.raises(
        UserError, match=r'has none of the 4 videos.*C4vJs_000084_000094.mp4'
    ):
        write_kinetics_list(
            str(videos / 'train.csv'), str(videos / 'nowhere'), str(videos / 'out.txt')
        )
