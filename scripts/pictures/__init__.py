"""The drawings of the documentation: ``python -m scripts.pictures`` writes them into ``docs/pictures``."""
