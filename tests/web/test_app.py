def test_a_folder_that_holds_nothing(tmp_path, serve):
    (tmp_path / "runs").mkdir()
    page = serve(tmp_path / "runs")
    for path in ("/", "/tournaments", "/static/site.css", "/static/live.js"):
        assert page.ask(path).status == 200, path
    assert page.ask("/nothing").status == 404
