"""Columns of the tables of encoded test points, with what they mean.

Their array `images` (points, D) holds what the encoder got, in 8 bits (encoding.eight_bits).
"""

# One row per test point: where the encoder puts it on the plane, and what it shows.
ENCODED = {
    "z1": "first coordinate of the mean of q(z|x)",
    "z2": "second coordinate",
    "label": "what the image shows, as a number: a digit, or a place in a film (attribute config "
    "says which); NaN if the data set does not say",
}
