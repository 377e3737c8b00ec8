"""The one exception that a person is meant to read."""


class UserError(Exception):
    """Something the user can mend. The message is one sentence that says what is wrong and what to do about it."""
