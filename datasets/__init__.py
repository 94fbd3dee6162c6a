"""The data sets that `ntkkit.datasets` loads; installed as `ntkkit._data`. PROVENANCE.md says where each is from."""
