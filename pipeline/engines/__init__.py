"""Engines that run the pipeline's distributed steps by Apache Beam."""
