"""MovieLensExampleGen: MovieLens files to user timelines, in three splits.

From the files to the rows: `editions` finds the files and names their format,
`ratings_file` and `catalog_files` read them into columns, `reader` joins them,
`timelines` removes duplicates, filters, sorts and splits, `windows` and `encoding` make
`tf.train.Example` rows, `executor` distributes that with Beam, `component` is the TFX
node. Only the last two import TFX.
"""
