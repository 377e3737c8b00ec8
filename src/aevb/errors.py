"""The exceptions that a person is meant to read."""

from pathlib import Path


class UserError(Exception):
    """Something the user can mend. The message is one sentence that says what is wrong and what to do about it."""


class Damaged(UserError):
    """A file that the pipeline made is not what was written: the file `path`, and the `reason` to think so."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path} is damaged ({reason}); delete it and run again")
        self.path, self.reason = Path(path), reason
