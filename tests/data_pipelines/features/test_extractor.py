import numpy as np
import pytest

from data_pipelines.features.extractor import PixelExtractor


def test_a_cell_is_the_mean_of_its_pixels():
    frames = np.zeros((1, 4, 6, 3), np.uint8)
    frames[0, :2, :3, 0] = 255
    frames[0, 2:, 3:, 2] = [[0], [255]] @ np.ones((1, 3), int)
    features = PixelExtractor(grid=2)(frames).reshape(2, 2, 3)
    np.testing.assert_allclose(features[0, 0], [2, -2, -2])
    np.testing.assert_allclose(features[0, 1], [-2, -2, -2])
    np.testing.assert_allclose(features[1, 1], [-2, -2, 0], atol=1e-6)


def test_a_pixel_on_an_edge_counts_for_both_its_cells_in_part():
    frames = np.zeros((1, 5, 1, 3), np.uint8)
    frames[0, 2] = 255  # half in the upper cell of 2.5 pixels, half in the lower
    features = PixelExtractor(grid=2)(frames).reshape(2, 2, 3)
    np.testing.assert_allclose(features, (0.5 / 2.5 - 0.5) / 0.25, rtol=1e-5)


@pytest.mark.parametrize("size", [(5, 7), (64, 64), (224, 398)])
def test_any_size_of_picture_gives_the_same_width(size):
    extractor = PixelExtractor()
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    features = extractor(frames)
    assert features.shape == (2, extractor.width)
    assert features.dtype == np.float32
    np.testing.assert_allclose(
        features.mean(), (frames.mean() / 255 - 0.5) / 0.25, atol=0.1
    )
