"""Writes digit_arithmetic.csv: sums over an image of a digit and a number in a table.

Every image of digits.csv stands in two rows, each with a number and a word of its own, and with what comes out:
digit plus number, digit minus number, digit times number. `image` is the image's row in digits.csv: a split by
it keeps both rows of an image in one part. Run it in this folder; it always writes the same bytes.
"""

import csv

ROWS_PER_IMAGE = 2
WORDS = {"plus": lambda a, b: a + b, "minus": lambda a, b: a - b, "times": lambda a, b: a * b}


def numbers(state=20260101):
    """Knuth's MMIX generator; its high bits."""
    while True:
        state = (6364136223846793005 * state + 1442695040888963407) % 2**64
        yield state >> 33


draw = numbers()
with open("digits.csv", newline="") as file:
    header, *images = csv.reader(file)

with open("digit_arithmetic.csv", "w", newline="") as file:
    out = csv.writer(file, lineterminator="\n")
    out.writerow(["image", *header[:-1], "number", "word", "digit", "result"])
    for image, row in enumerate(images):
        *pixels, digit = row
        for _ in range(ROWS_PER_IMAGE):
            number, word = next(draw) % 10, list(WORDS)[next(draw) % 3]
            result = WORDS[word](int(digit), number)
            out.writerow([image, *pixels, number, word, digit, result])
