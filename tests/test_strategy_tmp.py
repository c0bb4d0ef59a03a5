from .search_world import World
def test_x(): assert World
