"""The exceptions that a person is meant to read."""


class UserError(Exception):
    """Something the user can mend. The message is one sentence that says what is wrong and what
    to do about it."""


class Damaged(UserError):
    """A file that the pipeline made does not hold what was written; without it, the pipeline
    makes it anew."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path} is damaged ({reason}); delete it and run again")
        self.path, self.reason = path, reason
