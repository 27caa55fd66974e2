"""Images with labels in a CSV table: columns, splits, classes, errors."""

import pytest
from mmengine.registry import DATASETS, init_default_scope
from photographs import save, scene

import glore_mm.cls  # noqa: F401  (registers)
from glore_mm.analysis.data_check import check_data
from glore_mm.utils.errors import UserError


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture
def leaves(tmp_path):
    (tmp_path / 'photos').mkdir()
    for number in range(10):
        save(scene(), tmp_path / 'photos' / f'{number}.jpg')
    return tmp_path


def table(root, rows, split='train', images='photos', **kwargs):
    """Write a table and build the data set of a split."""
    name = kwargs.get('table', 'labels.csv').format(split=split)
    (root / name).write_text('\n'.join(rows) + '\n')
    return DATASETS.build(
        dict(
            type='ImageTable', data_root=str(root), split=split, images=images,
            pipeline=[dict(type='LoadImage'), dict(type='PackInputs')], **kwargs,
        )
    )  # fmt: skip


def labels(dataset):
    infos = map(dataset.get_data_info, range(len(dataset)))
    return {info['img_path'].rpartition('/')[2]: info['gt_label'] for info in infos}


def test_one_label_and_a_column_of_splits(leaves):
    rows = ['file;species;split', '0.jpg;oak;train', '1.jpg;ash;train', '2.jpg;oak;val']
    train = table(leaves, rows)
    assert train.metainfo['classes'] == ('ash', 'oak')
    assert labels(train) == {'0.jpg': 1, '1.jpg': 0}
    assert labels(table(leaves, rows, 'val')) == {'2.jpg': 1}
    assert train[0]['data_samples'].gt_label.tolist() == [1]
    with pytest.raises(UserError, match='the column split has no test, but train, val'):
        table(leaves, rows, 'test')


def test_a_random_split_of_names_without_suffix(leaves):
    rows = ['id,label', *(f'{i},{i % 3 + 9}' for i in range(10))]
    splits = [
        table(leaves, rows, split, img_suffix='.jpg') for split in ('train', 'val')
    ]
    assert [len(each) for each in splits] == [8, 2]
    assert len({*labels(splits[1]).values()}) == 2  # of different classes
    assert splits[0].metainfo['classes'] == ('9', '10', '11')
    together = {name: label for each in splits for name, label in labels(each).items()}
    assert together == {f'{i}.jpg': i % 3 for i in range(10)}


def test_a_file_for_each_split(leaves):
    kinds = dict(table='{split}.csv')
    train = table(leaves, ['image,label', '0.jpg,b', '1.jpg,a'], **kinds)
    val = table(leaves, ['image,label', '2.jpg,b'], 'val', **kinds)
    assert (labels(train), labels(val)) == ({'0.jpg': 1, '1.jpg': 0}, {'2.jpg': 1})
    with pytest.raises(UserError, match=r"val.csv, line 2: 'c' is not a class \(a, "):
        table(leaves, ['image,label', '2.jpg,c'], 'val', **kinds)


@pytest.mark.parametrize(
    ('rows', 'kwargs'),
    [
        (['image,tags', '0.jpg,haze water', '1.jpg,', '2.jpg,clear'], {}),
        (['image,tags', '0.jpg,haze | water', '1.jpg,', '2.jpg,clear'],
         dict(separator='|')),
        (['image,clear,haze,water', '0.jpg,0,1,1', '1.jpg,0,0,0', '2.jpg,1,0,0'], {}),
    ],
)  # fmt: skip
def test_several_labels(leaves, rows, kwargs):
    splits = ['split', *3 * ['train']]
    rows = [f'{row},{split}' for row, split in zip(rows, splits, strict=True)]
    dataset = table(leaves, rows, multi_label=True, **kwargs)
    assert dataset.metainfo['classes'] == ('clear', 'haze', 'water')
    assert labels(dataset) == {'0.jpg': [1, 2], '1.jpg': [], '2.jpg': [0]}
    assert [dataset.get_cat_ids(i) for i in range(3)] == [[1, 2], [], [0]]


@pytest.mark.parametrize(
    'rows',
    [
        ['image,tag', '0.jpg,haze', '1.jpg,clear', '0.jpg,water'],
        ['image,clear,haze,water', '0.jpg,0,1,0', '1.jpg,1,0,0', '0.jpg,0,0,1'],
    ],
)
def test_several_rows_of_an_image(leaves, rows):
    dataset = table(leaves, rows, multi_label=True, table='{split}.csv')
    assert labels(dataset) == {'0.jpg': [1, 2], '1.jpg': [0]}


def test_the_same_row_several_times(leaves):
    rows = ['image,label', *3 * ['0.jpg,a'], '1.jpg,b']
    assert len(table(leaves, rows, table='{split}.csv')) == 4


def test_rows_that_are_in_no_split_are_reported(leaves):
    rows = ['file,label,split', '0.jpg, "oak, red",train', '1.jpg,ash,Train']
    dataset = table(leaves, rows)
    assert dataset.metainfo['classes'] == ('ash', 'oak, red')
    assert labels(dataset) == {'0.jpg': 1}
    (line,) = [x for x in check_data(dict(train=dataset)) if 'left out' in x]
    assert line.endswith("1 row(s) whose split is 'Train', and not train, val or test")


@pytest.mark.parametrize(
    ('rows', 'kwargs', 'message'),
    [
        (['image,a,b', '0.jpg,0,1'], {}, 'the columns image, a, b; expected the image '
         'and its label. .* give multi_label=True'),
        (['image,a,b', '0.jpg,0,yes'], dict(multi_label=True, table='{split}.csv'),
         "line 2: 'yes'; expected 0 or 1 for each class"),
        (['image,label', '0.jpg'], {}, "line 2: '0.jpg' has 1 columns; expected 2: i"),
        (['image,label', '0.jpg,'], dict(table='{split}.csv'),
         "line 2: '' is not a class"),
        (['image,label'], {}, 'labels.csv is empty; expected column titles and a row'),
        (['image,a,a', '0.jpg,0,1'], dict(multi_label=True),
         'two columns of one title: image, a, a'),
        (['image,label', '0.jpg,a', '1.jpg,"b', '2.jpg,c'], {},
         'labels.csv, line 3, cannot be read as CSV: .*1.jpg,"b'),
        (['image,label', '0.jpg,a', '1.jpg,b', '0.jpg,b'], {},
         'lines 2 and 4: 0.jpg has two labels. Remove one row, or give multi_label=T'),
        (['image,label,split', '0.jpg,a,train', '0.jpg,b,val'], dict(multi_label=True),
         'lines 2 and 3: 0.jpg has two splits. Remove one row'),
        (['image,label,split', '../0.jpg,a,train'], dict(images=''),
         r"line 2: '../0.jpg' leads outside"),
    ],
)  # fmt: skip
def test_errors(leaves, rows, kwargs, message):
    with pytest.raises(UserError, match=message):
        table(leaves, rows, **kwargs)
