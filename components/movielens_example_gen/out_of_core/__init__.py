"""Ratings read, sorted and split by Beam, in parts that fit in memory.

The result is that of `ingest`, byte for byte. The order of the rows is by a hash of the
user's id, so the users with hashes in a range, a *partition*, are consecutive rows, and
each partition is sorted and split by the same code as all ratings in memory:

1. `scatter`: a worker reads a split, whole lines of a file, and writes its events
   sorted by user, so that those of a range of hashes are a range of bytes.
2. `totals` chooses the partitions by the number of their events.
3. `quantile`, for `temporal_global` only: the time of the cut over all events.
4. `gather`: a worker collects a partition from the files of all splits, makes its
   timelines and writes them, and what must be summed over all partitions.
5. `totals` sums it, and finds the rows of each shard in the files of the partitions.

`run` calls these steps. A *task* is what workers do with one split or partition: its
element names files on a folder that all workers see, and so does its result. A task
that is repeated writes the same files again, each of which is whole or absent.
"""
