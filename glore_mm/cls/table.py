"""Images with labels in a CSV table."""

import csv
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmpretrain.registry import DATASETS

from glore_mm.cls.datasets import CheckedImageDataset
from glore_mm.utils.annotations import read_class_names, read_lines, resolve_path
from glore_mm.utils.class_folders import draw_split
from glore_mm.utils.errors import UserError, shorten, summarize_list


@DATASETS.register_module()
class ImageTable(CheckedImageDataset):
    """Images with their labels in a CSV file, whose first row has the column titles.

    The first column is the image. The other columns, except for one named `split`, are
    one of these:

    - one column of labels. With `multi_label`, a cell has any number of labels, with
      spaces or `separator` between.
    - a column of 0 and 1 for each class, as titled (several labels per image).

    A column named `split` splits the table by its values, such as train, val and test.
    Without it, `val_share` of the images are for validation and testing; of the images
    of each class, unless `multi_label`. With `multi_label`, an image can have several
    rows, whose labels are united.

    Args:
        data_root (str): The folder that contains the table and the images.
        split (str): 'train', 'val' or 'test'.
        table (str): The CSV file, separated by commas, semicolons or tabs. With
            `{split}` in its name, each split has a file. Default: 'labels.csv'.
        images (str): Folder of the images. Default: `data_root`.
        img_suffix (str): Suffix of the images, if the table does not have it.
        classes (str | Sequence[str], optional): The classes in the order of their
            indices, or a text file with one per line. Default: all labels of the table,
            sorted.
        multi_label (bool): Whether an image has several labels. Default: False.
        separator (str, optional): Character between labels. Default: spaces.
        val_share (float): Share of the images for validation. Default: 0.2.
        split_seed (int): Seed of the split by share. Default: 0.
        kwargs: As for mmpretrain's CustomDataset.

    Raises:
        UserError: The table cannot be read, or a row is wrong.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        table: str = 'labels.csv',
        images: str = '',
        img_suffix: str = '',
        classes: str | Sequence[str] | None = None,
        multi_label: bool = False,
        separator: str | None = None,
        val_share: float = 0.2,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self._split, self._seed = split, split_seed
        self._share = None if '{split}' in table else val_share
        self._img_suffix, self._multi_label = img_suffix, multi_label
        self._separator = separator
        names = None if classes is None else read_class_names(classes, data_root)
        if names is None:
            names = self._labels_of(osp.join(data_root, table.format(split='train')))
        super().__init__(
            data_root=data_root,
            data_prefix=images,
            ann_file=table.format(split=split),
            classes=names,
            **kwargs,
        )

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class indices of an image, for ClassBalancedDataset."""
        label = self.get_data_info(idx)['gt_label']
        return label if self._multi_label else [label]

    def _labels_of(self, path: str) -> tuple[str, ...]:
        """Return all labels of a table, sorted, numbers by value."""
        titles, rows = _read_table(path)
        columns = self._label_columns(path, titles)
        if len(columns) > 1:
            return tuple(columns)
        found = {
            label for _, row in rows for label in self._split_cell(row[columns[0]])
        }
        numbers = all(map(str.isdecimal, found))
        return tuple(sorted(found, key=int if numbers else str))

    def _label_columns(self, path: str, titles: list[str]) -> list[str]:
        columns = [title for title in titles[1:] if title != 'split']
        if not columns or (len(columns) > 1 and not self._multi_label):
            raise UserError(
                f'{path} has the columns {summarize_list(titles)}; expected the image '
                'and its label. Remove the others, or, if each of them is a class with '
                '0 or 1, give multi_label=True.'
            )
        return columns

    def _split_cell(self, cell: str) -> list[str]:
        parts = cell.split(self._separator) if self._multi_label else [cell]
        return [label for part in parts if (label := part.strip())]

    def _samples_of_list(self) -> list[dict[str, Any]]:
        titles, rows = _read_table(self.ann_file)
        columns = self._label_columns(self.ann_file, titles)
        rows = self._merge_rows(rows, titles[0], columns)
        if 'split' in titles:
            rows = self._rows_of_split(rows)
        if 'split' not in titles and self._share is not None:
            share, seed = self._share, self._seed
            labels = None if self._multi_label else [row[columns[0]] for _, row in rows]
            rows = draw_split(rows, self._split, share, seed, self.ann_file, labels)
        return [
            self._sample(f'{self.ann_file}, line {number}', row, titles[0], columns)
            for number, row in rows
        ]

    def _rows_of_split(
        self, rows: list[tuple[int, dict[str, str]]]
    ) -> list[tuple[int, dict[str, str]]]:
        """Select the rows of this split; report rows that are in no split."""
        sizes = Counter(row['split'] for _, row in rows)
        if self._split not in sizes:
            raise UserError(
                f'{self.ann_file}: the column split has no {self._split}, but '
                f'{summarize_list(sorted(sizes))}'
            )
        others = sorted({*sizes} - {'train', 'val', 'test', self._split})
        if others:
            count = sum(sizes[split] for split in others)
            self.report_left_out(
                f'{self.ann_file}: {count} row(s) whose split is '
                f'{summarize_list(map(repr, others))}, and not train, val or test'
            )
        return [each for each in rows if each[1]['split'] == self._split]

    def _merge_rows(
        self, rows: list[tuple[int, dict[str, str]]], image: str, columns: list[str]
    ) -> list[tuple[int, dict[str, str]]]:
        """Unite the rows of an image that has several labels, one in each row.

        Raises:
            UserError: An image without `multi_label` has two labels, or is in two
                splits.
        """
        merged: dict[str, tuple[int, dict[str, str]]] = {}
        for number, row in rows:
            first, known = merged.setdefault(row[image], (number, dict(row)))
            where = f'{self.ann_file}, lines {first} and {number}: {row[image]} has'
            if known.get('split') != row.get('split'):
                raise UserError(f'{where} two splits. Remove one row.')
            if not self._multi_label and known != row:
                raise UserError(
                    f'{where} two labels. Remove one row, or give multi_label=True in '
                    'the config.'
                )
            repeated = first != number and self._multi_label
            for column in columns if repeated else ():
                cells = known[column], row[column]
                one_column = (self._separator or ' ').join(cells)
                known[column] = max(cells) if len(columns) > 1 else one_column
        return list(merged.values()) if self._multi_label else rows

    def _sample(
        self, where: str, row: dict[str, str], image: str, columns: list[str]
    ) -> dict[str, Any]:
        if len(columns) > 1:
            wrong = {row[column] for column in columns} - {'0', '1'}
            if wrong:
                raise UserError(
                    f'{where}: {shorten(min(wrong))}; expected 0 or 1 for each class'
                )
            names = [column for column in columns if row[column] == '1']
        else:
            names = self._split_cell(row[columns[0]])
        unknown = set(names) - set(self.CLASSES)
        if unknown or (not names and not self._multi_label):
            name = min(unknown, default='')
            raise UserError(
                f'{where}: {name!r} is not a class ({summarize_list(self.CLASSES)}). '
                'Correct the table, or the classes of the data set in the config.'
            )
        path = row[image] + self._img_suffix
        path = resolve_path(
            path, where, self.img_prefix, self.data_root, self.outside_root
        )
        labels = [self.CLASSES.index(name) for name in names]
        return dict(img_path=path, gt_label=labels if self._multi_label else labels[0])


def _read_table(path: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the titles of the columns, and each row with its line number."""
    lines = read_lines(path, 'table of labels')
    if len(lines) < 2:
        raise UserError(f'{path} is empty; expected column titles and a row per image')
    delimiter = max(',;\t', key=lines[0][1].count)
    titles = _cells(path, *lines[0], delimiter)
    if len(set(titles)) < len(titles):
        raise UserError(
            f'{path} has two columns of one title: {summarize_list(titles)}'
        )
    rows = []
    for number, line in lines[1:]:
        cells = _cells(path, number, line, delimiter)
        if len(cells) != len(titles):
            raise UserError(
                f'{path}, line {number}: {shorten(line)} has {len(cells)} columns; '
                f'expected {len(titles)}: {summarize_list(titles)}'
            )
        rows.append((number, dict(zip(titles, cells, strict=True))))
    return titles, rows


def _cells(path: str, number: int, line: str, delimiter: str) -> list[str]:
    """Return the cells of a line, which may be in quotes."""
    options: Any = dict(delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        (cells,) = csv.reader([line], **options)
    except csv.Error as error:
        raise UserError(
            f'{path}, line {number}, cannot be read as CSV: {error}: {shorten(line)}'
        ) from error
    return list(map(str.strip, cells))
