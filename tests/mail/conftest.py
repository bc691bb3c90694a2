from tests.api.conftest import quiet

__all__ = ["quiet"]  # a fixture that tests of mail ask for too
