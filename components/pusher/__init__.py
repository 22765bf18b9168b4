"""The stock Pusher, with versions that cannot collide."""
