"""MovieLensExampleGen: MovieLens files to user timelines, in three splits.

The way of a rating, from a line of a file to its place in a row:

1. `inputs.spans.resolve` finds the files; `inputs.editions` recognises their format.
2. `readers.raw_data.read` reads them into columns (`tables.Ratings`). A line is parsed
   by `readers.rating_files.read_block` and checked by `readers.rating_rows.RowRules`.
3. `timelines.build` removes duplicates, filters, sorts and holds events out for eval.
4. `rows.staging.stage` writes the timelines in shards, which Beam workers encode as
   `tf.train.Example`s (`rows.examples.encode_shard`) and write as files (`executor`).

`ingest` calls steps 1 to 4, for all ratings in memory or, if they are too many, for
partitions on the workers of Beam (`out_of_core`, `beam_tasks`); both give the same
bytes. `component`, `parameters` and `executor` are the TFX node, and the only modules
that import TFX. `config` is what a user can set, and
`data_summary` what the node records on its artifact.
"""
