"""What a run's end prints, and when."""

from harness.runner.finish import finish_run
from reports import render
from tests.support.run_builder import RunBuilder


def test_the_verdict_is_told_before_anything_is_drawn(tmp_path, monkeypatch, capsys):
    told_before_drawing = []
    monkeypatch.setattr(render, "render_run", lambda *_: told_before_drawing.append(capsys.readouterr().out))
    folder = RunBuilder(tmp_path / "a-run").finish("completed", at_s=1.0)
    finish_run(folder, [], to_ci=False)
    assert "INVALID" in told_before_drawing[0]
    assert "Pages delivered" in told_before_drawing[0]
    assert capsys.readouterr().out.startswith("Report: ")
