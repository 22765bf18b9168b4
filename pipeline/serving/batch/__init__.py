"""Recommendations for many users at once, through Apache Beam, to Parquet.

```
<folder>/_job.json                  what is computed: model, k, filters, users, shards
<folder>/_users.parquet             ids of the users, a row group for each shard
<folder>/part-00000-of-00012.parquet
<folder>/_SUCCESS                   written last: JSON with counts, model and arguments
```

A shard is written under another name and renamed, so what has its name is whole, and a
command that is repeated writes only what is missing. Readers of Parquet folders skip
names that begin with `_` or `.`. The folder may be on this machine or in an object
store that TensorFlow and Beam know.

`shadow` asks a second model for the same users and reports what would change.
"""
