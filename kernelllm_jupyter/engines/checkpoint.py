"""From a model's name to a folder with a usable checkpoint, or to an error that says what is wrong.

A folder is looked at before anything heavy is imported. A Hugging Face id is taken from the local
cache where it is complete, else fetched with progress. Only safetensors weights are taken: pickled
ones can run code.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from kernelllm_jupyter.engines import LoadProgress, ProgressCallback
from kernelllm_jupyter.errors import CheckpointError, EngineError, ModelNotFound

__all__ = ["check_folder", "drop_partial_files", "fetch", "is_folder_name", "on_this_machine"]

#: What a checkpoint needs; scripts are only ever read (prompt templates), never run.
WANTED = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.py")
#: Llama repositories carry the weights a second time.
UNWANTED = ("original/*", "onnx/*", "*/*.safetensors")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
PICKLES = ("*.bin", "*.pth", "*.pt", "*.ckpt")
NETWORK_TIMEOUT_S = 10.0
#: A file that is being fetched, by a name that is used for this once.
NAMED_FOR_ONCE = re.compile(r".*\.[0-9a-f]{8}\.incomplete")


def is_folder_name(model: str) -> bool:
    """Whether ``model`` names a place in the file system and not a Hugging Face id."""
    if Path(model).expanduser().is_dir() or model.endswith(".gguf"):
        return True
    return (
        model.startswith(("/", "./", "../", "~", ".\\"))
        or model in (".", "..")
        or (model.count("/") > 1 or "\\" in model)
    )


def check_folder(folder: Path) -> None:
    """Raise where ``folder`` lacks what a checkpoint needs, naming what is missing.

    It may be a GGUF file, which is all in one.
    """
    if folder.suffix == ".gguf":
        _check_gguf(folder)
        return
    if not folder.is_dir():
        raise ModelNotFound(
            f"There is no folder {folder}. Name a folder with a checkpoint (config.json, "
            "tokenizer, *.safetensors), a Hugging Face id, or 'starter'."
        )
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} is not a checkpoint: it has no config.json. Name the folder that "
            "save_pretrained() or `hf download` wrote."
        )
    _check_weights(folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"The checkpoint in {folder} has no tokenizer ({', '.join(TOKENIZERS)}): copy the "
            "tokenizer's files there, or save it with tokenizer.save_pretrained()."
        )


def _check_gguf(file: Path) -> None:
    try:
        with open(file, "rb") as opened:
            mark = opened.read(4)
    except OSError as error:
        raise ModelNotFound(
            f"There is no file {file} ({error.strerror}). Name a GGUF file, a folder with a "
            "checkpoint, a Hugging Face id, or 'starter'."
        ) from error
    if mark != b"GGUF":
        raise CheckpointError(f"{file} is no GGUF file: it does not begin as one.")


def _check_weights(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted(set(_shards(index)) - {path.name for path in folder.iterdir()})
        if missing:
            raise CheckpointError(
                f"The checkpoint in {folder} is incomplete: {', '.join(missing[:4])}"
                f"{' …' if len(missing) > 4 else ''} missing. Download or copy it again."
            )
        return
    weights = [path for path in folder.glob("*.safetensors") if path.is_file()]
    if any(path.name == "model.safetensors" for path in weights):
        return
    if weights:
        raise CheckpointError(
            f"{folder} has {weights[0].name} but neither model.safetensors nor its index: rename "
            "the file if it is the whole model, or add model.safetensors.index.json."
        )
    pickles = [path.name for pattern in PICKLES for path in folder.glob(pattern)]
    if pickles:
        raise CheckpointError(
            f"The weights in {folder} are pickled ({pickles[0]}), and unpickling can run code. "
            "Convert them: load the model in an environment where you trust it and call "
            "model.save_pretrained(FOLDER), which writes safetensors."
        )
    raise CheckpointError(
        f"The checkpoint in {folder} has no weights: model.safetensors (or shards with "
        "model.safetensors.index.json) is missing. Download or copy it again."
    )


def _shards(index: Path) -> Iterable[str]:
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index} is damaged ({error}); download it again.") from error
    return [str(name) for name in found]


def fetch(model: str, progress: ProgressCallback) -> Path:
    """The folder of ``model``, fetched from Hugging Face where it is not on this machine yet.

    Raises ``ModelNotFound`` or ``CheckpointError``. Without a network it answers at once or after
    the resolver's own time limit; it does not retry for minutes.
    """
    if is_folder_name(model):
        folder = Path(model).expanduser().resolve()
        check_folder(folder)
        return folder
    cached = _cached(model)
    if cached is not None:
        return cached
    files = _listing(model)
    return _download(model, files, progress)


def _cached(model: str) -> Path | None:
    """Its folder, where it is whole; a download that was broken off is to be gone on with."""
    folder, is_whole = on_this_machine(model)
    return folder if is_whole else None


def on_this_machine(model: str) -> tuple[Path | None, bool]:
    """The folder of a Hugging Face id in the cache, if any, and whether nothing is missing in it.

    Looks only. Raises ``ModelNotFound`` for what cannot be such an id.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    # Not snapshot_download(local_files_only=True): its newer versions take a snapshot for
    # incomplete that lacks files which nobody wanted.
    try:
        config = try_to_load_from_cache(model, "config.json")
    except HFValidationError as error:
        raise ModelNotFound(
            f"{model!r} is neither a folder here nor a possible Hugging Face id ({error}). "
            "Ids look like facebook/KernelLLM."
        ) from error
    if not isinstance(config, str):
        return None, False
    folder = Path(config).parent
    try:
        check_folder(folder)
    except CheckpointError:
        return folder, False
    return folder, True


def _listing(model: str) -> dict[str, int | None]:
    """The repository's files with their sizes in bytes."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        info = HfApi().model_info(model, timeout=NETWORK_TIMEOUT_S, files_metadata=True)
    except GatedRepoError as error:
        raise _gated(model) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"There is no model {model!r} on Hugging Face, or it is private. Check the name, or "
            "log in with `hf auth login` if it is yours."
        ) from error
    except OfflineModeIsEnabled as error:
        raise _unreachable(model, "HF_HUB_OFFLINE is set") from error
    except HfHubHTTPError as error:
        raise _refused(model, error) from error
    except Exception as error:
        if not _of_the_network(error):
            raise
        raise _unreachable(model, str(error) or type(error).__name__) from error
    files = {entry.rfilename: entry.size for entry in info.siblings or []}
    if not any(name.endswith(".safetensors") for name in files):
        raise CheckpointError(
            f"{model} has no safetensors weights, and others are not loaded: pickled ones can run "
            "code, GGUF files are loaded from this machine only. Name a repository with "
            "*.safetensors."
        )
    return files


def _gated(model: str) -> EngineError:
    return ModelNotFound(
        f"{model} is behind a licence: accept it on https://huggingface.co/{model}, then log in "
        "here with `hf auth login` (or set HF_TOKEN before starting Jupyter) and try again."
    )


def _refused(model: str, error: Exception) -> EngineError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return _gated(model)
    return ModelNotFound(f"Hugging Face did not give {model}: {error}. Try again later.")


def _unreachable(model: str, why: str) -> EngineError:
    return ModelNotFound(
        f"{model!r} is not on this machine and Hugging Face cannot be reached ({why}). Fetch it "
        f"once where there is a network (`hf download {model}`), name a local folder, or use "
        "-m starter."
    )


def _of_the_network(error: Exception) -> bool:
    """The HTTP library below huggingface_hub differs between its versions, so do its errors."""
    library = type(error).__module__.split(".")[0]
    return isinstance(error, OSError) or library.startswith(("http", "requests", "urllib3"))


def _download(model: str, files: dict[str, int | None], progress: ProgressCallback) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    wanted = [
        name
        for name in files
        if any(fnmatch(name, pattern) for pattern in WANTED)
        and not any(fnmatch(name, pattern) for pattern in UNWANTED)
    ]
    sizes = [files[name] or 0 for name in wanted]
    try:
        with _watched(model, sum(sizes) if all(sizes) else None, progress):
            folder = Path(snapshot_download(model, allow_patterns=wanted))
    except GatedRepoError as error:
        raise _gated(model) from error
    except HfHubHTTPError as error:
        raise _refused(model, error) from error
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise EngineError(
                f"{model} could not be written to the Hugging Face cache: {error}. Make room, or "
                "set HF_HOME to a disk with room before starting Jupyter."
            ) from error
        raise _unreachable(model, str(error)) from error
    except Exception as error:
        if not _of_the_network(error):
            raise
        raise _unreachable(model, str(error) or type(error).__name__) from error
    check_folder(folder)
    return folder


@contextmanager
def _watched(model: str, total: int | None, progress: ProgressCallback) -> Iterator[None]:
    """Report the bytes on disk twice a second.

    The progress bars that huggingface_hub takes mean different things in its versions (files,
    bytes received, bytes written), the growing files in its cache do not.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    blobs = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "blobs"
    finished = threading.Event()

    def report() -> None:
        progress(LoadProgress("download", f"Downloading {model}", _size(blobs), total))

    def watch() -> None:
        while not finished.wait(0.5):
            report()

    report()
    watcher = threading.Thread(target=watch, name="download-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def drop_partial_files(model: str) -> None:
    """Remove the files of a model that this process has begun to fetch and not ended.

    Newer huggingface_hub gives them a name that nobody looks for again, and they are large; an
    older one's have the name of the whole file, and are gone on with. Where the system does not
    tell what a process has opened, they stay.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            path = descriptor.readlink()
            if NAMED_FOR_ONCE.fullmatch(path.name) and path.is_relative_to(cache.resolve()):
                path.unlink()


def _size(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with suppress(OSError):  # Renamed under our eyes when a file is complete.
            total += path.stat().st_size
    return total
