"""What clients of the served model rely on: its signatures, and a description file.

Every input has a batch dimension, so that a server can join the requests of several
callers, and REST requests can give one JSON object for each row.

The exporter makes its signatures from these definitions; the servability check, the
Evaluator, the report and `two-tower recommend` call the model by them. TensorFlow is
imported on use only, so that the command line can import this module at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainer import features as f

# Describes the model to readers without TensorFlow; below the folder of the SavedModel.
MODEL_INFO_FILE: Final = "assets.extra/model_info.json"
# Name of the vocabulary with the ids of the users that were trained on; a SavedModel
# has it below `assets`, one id a line.
USER_VOCABULARY: Final = "user_id"
# The same of the movies of the corpus and of the words of their titles.
MOVIE_VOCABULARY: Final = "movie_id"
TITLE_VOCABULARY: Final = "title_token"


@dataclass(frozen=True)
class TensorType:
    """Type of an input or output.

    Attributes:
      dtype: TensorFlow's name of it.
      dims: Name of each dimension; none for a scalar. The size of every dimension is
        only known when the signature is called. Inputs of one request have the same
        size in dimensions of the same name.
      absent: Of an input: the value that means nothing; None where every row must have
        another. In lists it is also what a caller pads rows of other lengths with.
    """

    dtype: str
    dims: tuple[str, ...] = ()
    absent: str | int | float | bool | None = None


@dataclass(frozen=True)
class Signature:
    """One signature of the served model, or the function `EVALUATE`.

    Attributes:
      name: Its key in the SavedModel.
      inputs: Name -> type, in the order of the arguments.
      outputs: Name -> type.
    """

    name: str
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]

    def input_specs(self) -> list[Any]:
        """Returns a `tf.TensorSpec` for each input."""
        import tensorflow as tf

        return [
            tf.TensorSpec([None] * len(tensor.dims), tensor.dtype, name)
            for name, tensor in self.inputs.items()
        ]

    def function(self, model: Any) -> Any:
        """Returns the function of a loaded SavedModel, which takes inputs by name.

        Args:
          model: A SavedModel from `tf.saved_model.load`.

        Raises:
          KeyError: The model has neither a signature nor a function of the name.
        """
        if self.name in model.signatures or not hasattr(model, self.name):
            return model.signatures[self.name]
        (function,) = getattr(model, self.name).concrete_functions
        return function

    def tensors(self, **inputs: Any) -> dict[str, Any]:
        """Returns a tensor for each input.

        Args:
          **inputs: Python values, arrays or tensors by name of the input. Inputs that
            have a value for "nothing" may be left out.

        Raises:
          KeyError: There is no such input.
        """
        import tensorflow as tf

        tensors = {
            name: tf.constant(value, self.inputs[name].dtype)
            for name, value in inputs.items()
        }
        shapes = [tensor.shape for tensor in tensors.values() if tensor.shape.rank]
        rows = shapes[0][0] if shapes else 1
        return tensors | {
            name: tf.fill(
                [rows, *[0] * (len(tensor.dims) - 1)],
                tf.constant(tensor.absent, tensor.dtype),
            )
            for name, tensor in self.inputs.items()
            if name not in tensors and tensor.absent is not None
        }

    def call(self, model: Any, **inputs: Any) -> dict[str, Any]:
        """Calls the signature.

        Args:
          model: A SavedModel from `tf.saved_model.load`.
          **inputs: See `tensors`. A model of an earlier release may lack those that are
            left out.

        Returns:
          NumPy arrays by name of the output.

        Raises:
          KeyError: The model has no such signature, or that no such input.
        """
        function = self.function(model)
        known = inputs.keys() | function.structured_input_signature[1]
        tensors = self.tensors(**inputs)
        outputs = function(**{name: tensors[name] for name in tensors.keys() & known})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


# Score where a row of an answer has no movie: JSON has no infinity. It is the lowest
# float32, below every real score.
NO_SCORE: Final = -3.4028234663852886e38

# Names of inputs that no feature has.
EXCLUDED: Final = "exclude_movie_ids"
FIRST_YEAR: Final = "first_year"
LAST_YEAR: Final = "last_year"
INCLUDE_SEEN: Final = "include_seen"
DIVERSITY: Final = "diversity"
# Movies that a serialized example asks for if it has no `k`, or as many as the model
# recommends if that is less.
DEFAULT_K: Final = 10

# Dimensions: B batch, k the most movies that a row asks for, L events of the longest
# timeline, X most movies that a row excludes, G most genres that a row names, d
# embedding width, H most held-out movies of a row, K the largest of `eval.top_k`, N
# movies of the corpus, U users with a stored timeline.
_IDS: Final = TensorType("string", ("B",))
_K: Final = TensorType("int32", ("B",))
_RECOMMENDED: Final = {
    "movie_ids": TensorType("string", ("B", "k")),
    "titles": TensorType("string", ("B", "k")),
    "genres": TensorType("string", ("B", "k")),
    "scores": TensorType("float32", ("B", "k")),
}
_EVENTS: Final = {
    f.MOVIE_IDS: TensorType("string", ("B", "L"), ""),
    f.RATINGS: TensorType("float32", ("B", "L"), 0.0),
    f.TIMESTAMPS: TensorType("int64", ("B", "L"), 0),
}
# What may be recommended: "" is no movie and no genre, 0 no year.
_FILTERS: Final = {
    EXCLUDED: TensorType("string", ("B", "X"), ""),
    f.GENRES: TensorType("string", ("B", "G"), ""),
    FIRST_YEAR: TensorType("int32", ("B",), 0),
    LAST_YEAR: TensorType("int32", ("B",), 0),
}
# From 0, which changes nothing, to less than 1: see `trainer.diversity`.
_DIVERSITY: Final = TensorType("float32", ("B",), 0.0)
# Who asks, where the edition has it.
_ATTRIBUTES: Final = {
    f.AGE: TensorType("int64", ("B",), -1),
    f.GENDER: TensorType("string", ("B",), ""),
    f.OCCUPATION: TensorType("string", ("B",), ""),
}
_EMBEDDED: Final = {"embedding": TensorType("float32", ("B", "d"))}
_KNOWN: Final = {"known": TensorType("bool", ("B",))}

SERVING_DEFAULT: Final = Signature(
    "serving_default", {f.USER_ID: _IDS, "k": _K}, _RECOMMENDED
)
RECOMMEND_FROM_HISTORY: Final = Signature(
    "recommend_from_history",
    {
        f.USER_ID: _IDS,
        **_EVENTS,
        **_ATTRIBUTES,
        **_FILTERS,
        DIVERSITY: _DIVERSITY,
        "k": _K,
    },
    _RECOMMENDED,
)
# Like `serving_default`, but with events that are newer than the stored timeline, and
# with filters.
RECOMMEND: Final = Signature(
    "recommend",
    {
        f.USER_ID: _IDS,
        **_EVENTS,
        **_FILTERS,
        INCLUDE_SEEN: TensorType("bool", ("B",), False),
        DIVERSITY: _DIVERSITY,
        "k": _K,
    },
    _RECOMMENDED,
)
# The same from serialized `tf.train.Example` messages, whose features are called like
# the inputs of `RECOMMEND`. All but the user id may be absent; `k` is then `DEFAULT_K`.
RECOMMEND_EXAMPLES: Final = Signature(
    "recommend_examples", {"examples": _IDS}, _RECOMMENDED
)
SIMILAR_MOVIES: Final = Signature(
    "similar_movies", {f.MOVIE_ID: _IDS, "k": _K}, _RECOMMENDED
)
QUERY_EMBEDDING: Final = Signature("query_embedding", {f.USER_ID: _IDS}, _EMBEDDED)
CANDIDATE_EMBEDDING: Final = Signature(
    "candidate_embedding", {f.MOVIE_ID: _IDS}, _EMBEDDED
)
KNOWN_USER: Final = Signature("known_user", {f.USER_ID: _IDS}, _KNOWN)
KNOWN_MOVIE: Final = Signature("known_movie", {f.MOVIE_ID: _IDS}, _KNOWN)
EVALUATE: Final = Signature(
    "evaluate",
    {"examples": _IDS},
    {
        "rank": TensorType("int32", ("B", "H")),
        "popularity_rank": TensorType("int32", ("B", "H")),
        "trained_on": TensorType("int32", ("B", "H")),
        "top_ids": TensorType("int32", ("B", "K")),
        "top_self_information": TensorType("float32", ("B", "K")),
        # Of the first 1, 2, ... movies: see `trainer.genre_balance`.
        "genre_diversity": TensorType("float32", ("B", "K")),
        "genre_divergence": TensorType("float32", ("B", "K")),
        "corpus_size": TensorType("int32", ("B", "1")),
        # Share of the exact list that the index returns, seen movies left out: the
        # smaller of those of the first `DEFAULT_K` movies and of all K.
        "index_recall": TensorType("float32", ("B", "1")),
    },
)
# What programs that have the files may ask, and no caller of a server may: functions of
# the SavedModel like `EVALUATE`.
CATALOGUE: Final = Signature(
    "catalogue",
    {},
    {
        f.MOVIE_ID: TensorType("string", ("N",)),
        f.TITLE: TensorType("string", ("N",)),
        f.GENRES: TensorType("string", ("N",)),  # "Comedy|Drama"
        f.YEAR: TensorType("int32", ("N",)),  # 0 where unknown
        f.NUM_RATINGS: TensorType("int64", ("N",)),
    },
)
STORED_USERS: Final = Signature(
    "stored_users", {}, {f.USER_ID: TensorType("string", ("U",))}
)
# Oldest event first; "", 0 and 0 behind the newest one.
STORED_TIMELINES: Final = Signature("stored_timelines", {f.USER_ID: _IDS}, _EVENTS)
# What a server offers. `EVALUATE` and the functions above are not among them, because
# they show who has rated what: they are for programs that have the files.
SIGNATURES: Final = (
    SERVING_DEFAULT,
    RECOMMEND,
    RECOMMEND_FROM_HISTORY,
    RECOMMEND_EXAMPLES,
    SIMILAR_MOVIES,
    QUERY_EMBEDDING,
    CANDIDATE_EMBEDDING,
    KNOWN_USER,
    KNOWN_MOVIE,
)
