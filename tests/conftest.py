"""What holds for all tests."""

from hypothesis import settings

settings.register_profile(
    "shared machine", deadline=None
)  # how long an example takes tells of the machine's other users
settings.load_profile("shared machine")
