"""Search for movies and users."""

from __future__ import annotations

from pipeline.serving.demo.movies import Movie, Movies, Users

MOVIES = Movies(
    [
        Movie("1", "Matrix, The (1999)", ["Action", "unknown"], 1999, 50),
        Movie("2", "Matrix Reloaded, The (2003)", ["Action"], 2003, 90),
        Movie("3", "Enter the Dragon (1973)", ["Action"], 1973, 20),
        Movie("4", "Amélie (2001)", ["Comedy"], 2001, 30),
        Movie("5", "七人の侍 (1954)", ["Drama"], 1954, 10),
        Movie("6", "The Animatrix", ["Animation"], 0, 99),
    ]
)


def found(query: str, limit: int = 10) -> list[str]:
    return [movie.id for movie in MOVIES.search(query, limit)]


def test_a_movie_is_found_by_any_words_of_its_title() -> None:
    assert found("the matrix") == ["2", "1", "6"]
    assert found("reloaded matr") == ["2"]
    assert found("matrix 1999") == ["1"]


def test_titles_that_begin_with_the_query_come_first_then_the_most_rated() -> None:
    assert found("matrix") == ["2", "1", "6"]
    assert found("the") == ["6", "2", "1", "3"]


def test_case_and_accents_do_not_count_and_any_script_is_found() -> None:
    assert found("AMELIE") == found("amélie") == ["4"]
    assert found("侍") == ["5"]
    assert found("侍 x") == []


def test_an_empty_query_finds_the_most_rated_movies() -> None:
    assert found("  ", limit=2) == ["6", "2"]


def test_genres_and_years_are_those_of_the_corpus() -> None:
    assert MOVIES.genres == ["Action", "Animation", "Comedy", "Drama"]
    assert (MOVIES.first_year, MOVIES.last_year) == (1954, 2003)
    assert Movies([]).first_year == 0


def test_an_unknown_id_has_a_printable_name() -> None:
    movie = MOVIES.get("9\u202e9")
    assert (movie.id, movie.title, movie.is_known) == ("9\u202e9", "Movie 9 9", False)


def test_users_whose_id_begins_with_the_query_come_first() -> None:
    users = Users(["1", "10", "2", "21", "100", "użytkownik"])
    assert users.search("1", 10) == ["1", "10", "100", "21"]
    assert users.search("", 2) == ["1", "2"]
    assert users.search("ytk", 5) == ["użytkownik"]
    assert Users([]).any() is None
