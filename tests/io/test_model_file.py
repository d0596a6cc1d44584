"""The model file survives a round trip and nothing else: no damaged, hostile or foreign file gets past `load_model`."""

import json
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from zsdeconv.errors import ModelError, OutputError
from zsdeconv.io.model_file import FORMAT_VERSION, MAX_HEADER_BYTES, METADATA_KEY, load_model, read_header, save_model

HEADER = {"modality": "2d", "rank": 2, "config": {"na": 1.4, "name": "Zelle µ"}, "version": "0.1"}


def weights():
    generator = torch.Generator().manual_seed(3)
    return {
        "stage1.weight": torch.randn(3, 1, 5, 2, generator=generator),
        "stage1.half": torch.randn(7, generator=generator).to(torch.bfloat16),
        "scale": torch.tensor(2.5, dtype=torch.float64),
        "steps": torch.tensor([4, 5]),
    }


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "cell.zsd", weights(), HEADER)


def assert_refused(path, *words):
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    for word in words:
        assert word in message


def file_of(table, data=b""):
    text = json.dumps(table).encode() if not isinstance(table, bytes) else table
    return struct.pack("<Q", len(text)) + text + data


def metadata(**changes):
    return {METADATA_KEY: json.dumps({"format_version": FORMAT_VERSION, "header": json.dumps(HEADER), "sha256": "0" * 64} | changes)}


def test_round_trip_is_exact(model):
    tensors, header = load_model(model)
    assert header == HEADER
    assert tensors.keys() == weights().keys()
    for name, tensor in weights().items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_non_contiguous_and_trainable_tensors_are_stored(tmp_path):
    weight = torch.arange(12.0).reshape(3, 4).t().requires_grad_()
    path = save_model(tmp_path / "a.zsd", {"w": weight}, HEADER)
    assert torch.equal(load_model(path)[0]["w"], weight.detach())


def test_same_model_same_bytes(model, tmp_path):
    again = save_model(tmp_path / "again.zsd", dict(reversed(weights().items())), HEADER)
    assert again.read_bytes() == model.read_bytes()


def test_header_is_read_without_weights_and_without_torch(model):
    header, shapes = read_header(model)
    assert header == HEADER
    assert shapes["stage1.weight"] == [3, 1, 5, 2]
    code = f"import sys; from zsdeconv.io.model_file import read_header; read_header({str(model)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_existing_file_is_kept_without_overwrite(model):
    before = model.read_bytes()
    with pytest.raises(OutputError, match="overwrite"):
        save_model(model, {"w": torch.ones(1)}, HEADER)
    assert model.read_bytes() == before
    save_model(model, {"w": torch.ones(1)}, HEADER, overwrite=True)
    assert load_model(model)[0].keys() == {"w"}


@pytest.mark.parametrize("header", [{"rank": 2}, {"modality": "2d"}, {"modality": "2d", "rank": True}, HEADER | {"loss": float("nan")}])
def test_a_header_that_could_not_be_read_is_not_written(tmp_path, header):
    with pytest.raises(ValueError, match=r"header|JSON"):
        save_model(tmp_path / "a.zsd", weights(), header)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tensor", [torch.tensor([1.0, float("nan")]), torch.zeros(0, 3)])
def test_weights_that_could_not_be_read_are_not_written(tmp_path, tensor):
    with pytest.raises(ValueError, match="tensor"):
        save_model(tmp_path / "a.zsd", {"w": tensor}, HEADER)
    assert list(tmp_path.iterdir()) == []


class Bomb:
    """Runs code when unpickled: creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_never_runs(tmp_path):
    mark, path = tmp_path / "it-ran", tmp_path / "bomb.zsd"
    path.write_bytes(pickle.dumps(Bomb(str(mark))))
    assert_refused(path, "pickle", ".zsd")
    assert not mark.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_never_runs(tmp_path, legacy):
    mark, path = tmp_path / "it-ran", tmp_path / "bomb.zsd"
    torch.save({"w": Bomb(str(mark))}, path, _use_new_zipfile_serialization=not legacy)
    mark.unlink(missing_ok=True)
    assert_refused(path, "pickle")
    assert not mark.exists()


def test_an_archive_is_refused(tmp_path):
    path = tmp_path / "archive.zsd"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    assert_refused(path, "archive")


def test_truncation_anywhere_is_refused(model):
    whole = model.read_bytes()
    for length in range(0, len(whole), 3):
        model.write_bytes(whole[:length])
        assert_refused(model)
    model.write_bytes(whole + b"\0")
    assert_refused(model)


def says_the_same(damaged, whole):
    """True when only the spelling of the table differs: a letter escaped as \\u00b5 or \\u00B5."""
    end = 8 + int.from_bytes(whole[:8], "little")
    try:
        return json.loads(damaged[8:end]) == json.loads(whole[8:end]) and damaged[:8] + damaged[end:] == whole[:8] + whole[end:]
    except ValueError:
        return False


def test_a_flipped_bit_anywhere_is_refused(model):
    whole = model.read_bytes()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        if says_the_same(damaged, whole):
            continue
        model.write_bytes(damaged)
        assert_refused(model)


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused(tmp_path, seed):
    path = tmp_path / "noise.zsd"
    path.write_bytes(random.Random(seed).randbytes(301))
    assert_refused(path)


def test_a_newer_format_asks_for_an_update(tmp_path):
    path = tmp_path / "new.zsd"
    path.write_bytes(save({"w": torch.ones(1)}, {METADATA_KEY: json.dumps({"format_version": FORMAT_VERSION + 1, "otherwise": 1})}))
    assert_refused(path, str(FORMAT_VERSION + 1), "update zsdeconv")


def test_another_programs_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "other.zsd"
    path.write_bytes(save({"w": torch.ones(1)}))
    assert_refused(path, "record")


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HOSTILE = {
    "metadata is a list": {"__metadata__": []},
    "record is a number": {"__metadata__": {METADATA_KEY: 1}},
    "record is nested without end": {"__metadata__": {METADATA_KEY: "[" * 200_000}},
    "version is a word": {"__metadata__": metadata(format_version="1")},
    "version is negative": {"__metadata__": metadata(format_version=-1)},
    "version zero": {"__metadata__": metadata(format_version=0)},
    "version is true": {"__metadata__": metadata(format_version=True)},
    "version is a fraction": {"__metadata__": metadata(format_version=1.0)},
    "version without end": {"__metadata__": {METADATA_KEY: '{"format_version": ' + "9" * 5000 + "}"}},
    "no checksum": {"__metadata__": metadata(sha256=None)},
    "header missing": {"__metadata__": metadata(header=None)},
    "header is a list": {"__metadata__": metadata(header="[]")},
    "header is nested without end": {"__metadata__": metadata(header="[" * 200_000)},
    "header holds NaN": {"__metadata__": metadata(header='{"modality": "2d", "rank": NaN}')},
    "rank is text": {"__metadata__": metadata(header='{"modality": "2d", "rank": "2"}')},
    "checksum is wrong": {"__metadata__": metadata(), "w": ENTRY},
    "entry is a number": {"__metadata__": metadata(), "w": 4},
    "huge shape": {"__metadata__": metadata(), "w": ENTRY | {"shape": [2**40, 2**40]}},
    "shape that overflows to its size": {"__metadata__": metadata(), "w": ENTRY | {"shape": [2**33, 2**31, 1]}},
    "empty huge shape": {"__metadata__": metadata(), "w": ENTRY | {"shape": [2**47, 0], "data_offsets": [0, 0]}},
    "negative shape": {"__metadata__": metadata(), "w": ENTRY | {"shape": [-1, -1]}},
    "fractional shape": {"__metadata__": metadata(), "w": ENTRY | {"shape": [1.0]}},
    "shape of truth": {"__metadata__": metadata(), "w": ENTRY | {"shape": [True]}},
    "many dimensions": {"__metadata__": metadata(), "w": ENTRY | {"shape": [1] * 100}},
    "unknown dtype": {"__metadata__": metadata(), "w": ENTRY | {"dtype": "O"}},
    "dtype is a list": {"__metadata__": metadata(), "w": ENTRY | {"dtype": ["F32"]}},
    "offsets beyond the file": {"__metadata__": metadata(), "w": ENTRY | {"data_offsets": [4, 8]}},
    "offsets backwards": {"__metadata__": metadata(), "w": ENTRY | {"data_offsets": [4, 0]}},
    "tensors that overlap": {"__metadata__": metadata(), "w": ENTRY | {"shape": [2], "data_offsets": [0, 8]}, "v": ENTRY},
    "table is a list": [],
    "table is nested without end": b"[" * 200_000,
    "table is not text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_are_refused(tmp_path, name):
    path = tmp_path / "hostile.zsd"
    path.write_bytes(file_of(HOSTILE[name], b"\0\0\0\0"))
    assert_refused(path)


def test_an_oversized_table_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "sparse.zsd"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER_BYTES + 1))
        file.truncate(MAX_HEADER_BYTES + 100)
    assert_refused(path, str(MAX_HEADER_BYTES))
    with pytest.raises(ModelError, match=str(MAX_HEADER_BYTES)):
        read_header(path)


def test_a_sparse_giant_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "giant.zsd"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert_refused(path, str(2**40))


def test_not_finite_weights_with_a_valid_checksum_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "nan.zsd"
    monkeypatch.setattr("zsdeconv.io.model_file._tensor_fault", lambda tensors: None)
    save_model(path, {"w": torch.tensor([1.0, float("inf")])}, HEADER)
    monkeypatch.undo()
    assert_refused(path, "NaN or infinite")


@pytest.mark.parametrize("make", ["missing", "folder"])
def test_what_is_no_file_is_refused(tmp_path, make):
    path = tmp_path / "nothing.zsd"
    if make == "folder":
        path.mkdir()
    assert_refused(path)
    with pytest.raises(ModelError):
        read_header(path)


def test_a_table_whose_length_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    """The first byte of a model is the low byte of its table's length, a multiple of eight: one in 32 models has the pickle's 0x80."""

    def saved(padding: int) -> Path:
        header = {"modality": "2d", "rank": 2, "note": "x" * padding}
        return save_model(tmp_path / f"{padding}.zsd", {"w": torch.ones(2)}, header)

    unlucky = [path for path in map(saved, range(0, 300, 8)) if path.read_bytes()[:1] == b"\x80"]
    assert unlucky
    for path in unlucky:
        assert load_model(path)[1]["note"] == "x" * int(path.stem)
