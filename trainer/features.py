"""Names of the features of an `Examples` row.

The pipeline has four splits with different rows:

* `train`: one window of one user's chronological timeline.
* `eval`: one query: what is known of a user, and the events that were held out.
* `corpus`: one movie.
* `known`: the events of one user that are neither trained on nor held out: those before
  the window of spans, those rated below `min_rating`, those of users with few ratings.
  The served model knows these, too. Nothing is learned or measured from them.

Ids are UTF-8 bytes everywhere, so that an edition whose ids are not integers needs
no other code path. This module imports nothing, so every package can import it.
"""

from __future__ import annotations

from typing import Final

TRAIN_SPLIT: Final = "train"
EVAL_SPLIT: Final = "eval"
CORPUS_SPLIT: Final = "corpus"
KNOWN_SPLIT: Final = "known"
# Those that something is learned or measured from.
MEASURED_SPLITS: Final = (TRAIN_SPLIT, EVAL_SPLIT, CORPUS_SPLIT)
SPLITS: Final = (*MEASURED_SPLITS, KNOWN_SPLIT)

# --- train, eval and known rows ------------------------------------------------------
USER_ID: Final = "user_id"  # bytes, scalar

# The timeline: three lists of one length, oldest event first.
MOVIE_IDS: Final = "movie_ids"  # bytes
RATINGS: Final = "ratings"  # float32, stars
TIMESTAMPS: Final = "timestamps"  # int64, seconds since the epoch, UTC

# Length bucket of the user's whole training timeline, e.g. "020-049", to slice on. Not
# in known rows.
ACTIVITY: Final = "activity"  # bytes, scalar

# User attributes, where the edition has them (ML-100K, ML-1M); absent otherwise.
AGE: Final = "age"  # int64, years (ML-1M: the lower bound of its bucket)
GENDER: Final = "gender"  # bytes, "F" or "M"
OCCUPATION: Final = "occupation"  # bytes, e.g. "programmer"
ZIP_CODE: Final = "zip_code"  # bytes
USER_ATTRIBUTES: Final = (AGE, GENDER, OCCUPATION, ZIP_CODE)

# --- train rows only -----------------------------------------------------------------
# Leading events that were targets in the preceding, overlapping window. They are
# context in this one, because a target must not be counted twice.
NUM_CONTEXT: Final = "num_context"  # int64, scalar
# Position of the window among the user's windows, oldest first. It is stored because
# Beam keeps no order, and timestamps can tie.
WINDOW_INDEX: Final = "window_index"  # int64, scalar, from 0

# --- eval and known rows -------------------------------------------------------------
# bytes: every movie that the user rated before the first one held out, whether or not
# it is trained on; in a known row, the movies of all its events.
SEEN_MOVIE_IDS: Final = "seen_movie_ids"

# --- eval rows only ------------------------------------------------------------------
# bytes: what the user rated after that but is not held out, so that the served model
# knows it and the query does not.
LATER_MOVIE_IDS: Final = "later_movie_ids"
HELD_OUT_MOVIE_IDS: Final = "held_out_movie_ids"  # bytes: the right answers
HELD_OUT_RATINGS: Final = "held_out_ratings"  # float32, aligned with the above
HELD_OUT_TIMESTAMPS: Final = "held_out_timestamps"  # int64, aligned with the above
# To slice on, like `ACTIVITY`. They reveal the answer, so no model may read them.
USER_KIND: Final = "user_kind"  # bytes: "warm", or "cold" for one who is new
AGE_GROUP: Final = "age_group"  # bytes, e.g. "25-34"; absent where `AGE` is
HELD_OUT_POPULARITY: Final = "held_out_popularity"  # bytes, list: head, middle, tail
HELD_OUT_GENRES: Final = "held_out_genres"  # bytes, list
HELD_OUT_OPINION: Final = "held_out_opinion"  # bytes, list: liked, not_liked
HELD_OUT_DECADES: Final = "held_out_decades"  # bytes, list, e.g. "1990s", "unknown"

# --- corpus rows ---------------------------------------------------------------------
MOVIE_ID: Final = "movie_id"  # bytes, scalar
TITLE: Final = "title"  # bytes, scalar, as published (year included)
GENRES: Final = "genres"  # bytes, list; empty where none is listed
YEAR: Final = "year"  # int64, scalar; absent where the title has none
NUM_RATINGS: Final = "num_ratings"  # int64, scalar: events in the train split

# --- outputs of `trainer.preprocessing` ----------------------------------------------
USER_INDEX: Final = "user_index"  # int64
USER_ATTRIBUTE_INDICES: Final = "user_attribute_indices"  # int64 [3]
MOVIE_INDEX: Final = "movie_index"  # int64
MOVIE_INDICES: Final = "movie_indices"  # int64, ragged
SEEN_MOVIE_INDICES: Final = "seen_movie_indices"  # int64, ragged
HELD_OUT_MOVIE_INDICES: Final = "held_out_movie_indices"  # int64, ragged
GENRE_WEIGHTS: Final = "genre_weights"  # float32 [genres], sum 1
GENRES_TEXT: Final = "genres_text"  # bytes, e.g. "Comedy|Drama"
YEAR_INDEX: Final = "year_index"  # int64
TITLE_TOKEN_INDICES: Final = "title_token_indices"  # int64, ragged

# Raw features that the trainer reads as they are.
PASSED_THROUGH: Final = (
    USER_ID,
    RATINGS,
    TIMESTAMPS,
    NUM_CONTEXT,
    WINDOW_INDEX,
    HELD_OUT_RATINGS,
    HELD_OUT_TIMESTAMPS,
    MOVIE_ID,
    TITLE,
    NUM_RATINGS,
)
