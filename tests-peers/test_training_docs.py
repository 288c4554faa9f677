"""What docs/training.md and examples/training/digits/README.md have a reader do, done; the fragment of a script with a job around it."""

import pathlib
import subprocess
import sys
import textwrap

from pages import ROOT, Reader, blocks

FINETUNE = """
# As a trainer of Hugging Face leaves its checkpoints.
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--output_dir") + 1])
assert "--resume_from_checkpoint" not in sys.argv, "there is nothing to resume from"
for step in (1, 2):
    here = out / f"checkpoint-{step}"
    here.mkdir(parents=True)
    (here / "weights").write_text(str(step))
    (here / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": step, "eval_accuracy": 0.9}]}))
"""


def test_the_page_of_training(tmp_path, monkeypatch):
    """`train.py` is the digits' and finds the package as `pip install ./python` would have it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "python"))
    with Reader("docs/training.md", tmp_path) as reader:
        reader.stand_in(ROOT / "examples/training/digits")
        (tmp_path / "finetune.py").write_text(FINETUNE)
        reader.follow(lambda block: block.language == "sh")
    assert (tmp_path / "runs/digits/champion").exists()
    assert list(tmp_path.glob("out*")), "the library's own folder stays"


def test_the_fragment_of_a_script_saves_and_goes_on(tmp_path):
    fragment = next(block for block in blocks(ROOT / "docs/training.md") if block.language == "python")
    script = tmp_path / "job.py"
    script.write_text(
        "import pathlib, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'python')!r})\n"
        "from mainstay import train\n"
        "total, epoch, position, trained = int(sys.argv[1]), 0, 0, []\n"
        "def load(path): return int((pathlib.Path(path) / 'step').read_text())\n"
        "def train_one_batch(): trained.append(1); return 0.5\n"
        "def save_everything(directory): (pathlib.Path(directory) / 'step').write_text(str(500 * (len(trained) // 500)))\n"
        "def job():\n" + textwrap.indent(fragment.text, "    ") + "job()\nprint(len(trained))\n"
    )

    def steps(total: int) -> int:
        done = subprocess.run([sys.executable, script, str(total)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return int(done.stdout)

    assert steps(700) == 700
    assert len(list(pathlib.Path(tmp_path / "checkpoints").glob("step-*"))) == 1
    assert steps(1_200) == 700, "it goes on at step 500"


def test_the_page_of_the_digits(tmp_path, monkeypatch):
    """`pip install` finds both there already."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "python"))
    with Reader("examples/training/digits/README.md", tmp_path) as reader:
        reader.stand_in(ROOT / "examples/training/digits")
        reader.follow()
    assert "killed" in reader.said and reader.said.count("accuracy 0.9") == 1, reader.said
    assert (tmp_path / "model.npz").exists()
