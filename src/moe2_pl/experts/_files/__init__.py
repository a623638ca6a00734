"""The files of models and adapters: found, named by hashes, unpacked. No model is run here."""
