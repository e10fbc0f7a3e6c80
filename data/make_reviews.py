"""Writes reviews.csv and reviews_test.csv beside this file: python3 data/make_reviews.py

Made-up restaurant reviews, our own work. Each judges the food and the service; the column `praised` says
which of the two it finds good: food, service, both or neither. The same words praise and blame either, so
what counts is their order: who is judged, what `not` and `anything but` turn round, what was only heard
before the visit. In three reviews of a hundred the label is a wrong one, as in data that people have
labelled: nothing honest gets beyond 97 %. No text is in both files.
"""

import csv
import pathlib
import random

FOOD = ["food", "soup", "pasta", "steak", "curry", "fish", "pizza", "dessert", "lunch", "risotto", "stew"]
SERVICE = ["service", "waiter", "waitress", "host", "bartender", "staff", "owner", "hostess", "server"]
GOOD = ["excellent", "wonderful", "great", "superb", "lovely", "a delight", "outstanding", "a joy", "first class"]
BAD = ["awful", "terrible", "poor", "dreadful", "disappointing", "a letdown", "a disgrace", "second rate"]
OTHERS = ["view", "music", "car park", "decor", "garden", "weather", "terrace", "crowd"]
PEOPLE = ["my sister", "a friend", "the guide", "our neighbour", "a colleague", "the hotel", "my grandmother"]
OPENINGS = [
    "We came on a Sunday.", "It was our first visit.", "We had booked a table.", "The place was full.",
    "It rained all evening.", "We were a party of six.", "We stayed for two hours.", "We paid in cash.",
]
LABELS = {(True, False): "food", (False, True): "service", (True, True): "both", (False, False): "neither"}


class Writer:
    """Draws with random() alone, whose numbers are the same in every version of Python."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def chance(self, p):
        return self.random() < p

    def pick(self, choices):
        return choices[int(self.random() * len(choices))]

    def word(self, good):
        return self.pick(GOOD if good else BAD)

    def judgement(self, good):
        """What is said of something that is good or not; about every third says the opposite of its opposite."""
        if not self.chance(0.36):
            return self.word(good)
        turned = self.pick(["not {}", "anything but {}", "far from {}", "by no means {}", "not at all {}", "hardly {}"])
        return turned.format(self.word(not good))

    def clause(self, what, good):
        """One of both, judged on its own; what others said counts for nothing."""
        if self.chance(0.2):
            heard = self.word(self.chance(0.5))
            form = self.pick(["{who} had called the {what} {heard}, but it was {it}",
                              "the {what}, {heard} a year ago, was {it}",
                              "we expected the {what} to be {heard} and found it {it}"])
            return form.format(who=self.pick(PEOPLE), what=what, heard=heard, it=self.judgement(good))
        form = self.pick(["the {what} was {it}", "the {what} was {it}", "we found the {what} {it}",
                          "I would call the {what} {it}", "the {what} turned out to be {it}"])
        return form.format(what=what, it=self.judgement(good))

    def pair(self, first, second):
        """Both in one phrase; `first` and `second` are what is judged, and whether it is good."""
        (a, good_a), (b, good_b) = first, second
        if good_a == good_b:
            forms = ["both the {a} and the {b} were {same}", "neither the {a} nor the {b} was {other}",
                     "the {a} was as {same} as the {b}", "the {a} was {same} and the {b} no less so"]
        else:
            forms = ["unlike the {b}, the {a} was {same}", "the {a} was {same}, which cannot be said of the {b}",
                     "the {a} was {same}, quite the opposite of the {b}", "not the {b} but the {a} was {same}"]
        return self.pick(forms).format(a=a, b=b, same=self.word(good_a), other=self.word(not good_a))

    def review(self):
        food, service = self.chance(0.5), self.chance(0.5)
        both = [(self.pick(FOOD), food), (self.pick(SERVICE), service)]
        if self.chance(0.5):
            both.reverse()
        if self.chance(0.3):
            text = self.pair(*both)
        else:
            first, second = (self.clause(*one) for one in both)
            text = first + self.pick([" and ", ", while ", ", but ", "; ", ", and ", ". "]) + second
        if self.chance(0.3):
            aside = f"the {self.pick(OTHERS)} was {self.judgement(self.chance(0.5))}"
            text = f"{text}; {aside}" if self.chance(0.5) else f"{aside}; {text}"
        if self.chance(0.2):
            text = f"{self.pick(OPENINGS)} {text}"
        sentences = [s[0].upper() + s[1:] for s in text.split(". ")]
        label = LABELS[food, service]
        if self.chance(0.03):
            label = self.pick([other for other in LABELS.values() if other != label])
        return ". ".join(sentences) + ".", label


def main():
    writer, seen = Writer(2026), set()
    folder = pathlib.Path(__file__).parent
    for name, count in [("reviews.csv", 2600), ("reviews_test.csv", 600)]:
        rows = []
        while len(rows) < count:
            text, label = writer.review()
            if text not in seen:
                seen.add(text)
                rows.append((text, label))
        with open(folder / name, "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(["text", "praised"])
            out.writerows(rows)


main()
