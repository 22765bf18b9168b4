"""Step 4: timelines to serialised `tf.train.Example`s, in shards."""
