"""The main job: the infinitely wide network and its peers, tuned alike and compared on real data."""
