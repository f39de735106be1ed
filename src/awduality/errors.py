"""The one error that means "your input, not our code"."""


class InputError(ValueError):
    """Input that cannot be used: the message says what was got, what was wanted and what to do.

    Scripts print its message alone, without a traceback; every other exception is a defect and keeps its traceback.
    """
