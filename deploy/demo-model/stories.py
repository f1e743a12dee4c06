"""Short children's stories from a grammar of a few hundred words.

A story has a hero, a friend, a place and a thing; one of the plots runs from a problem
to its end. `story()` gives the text; `story_about()` lets a chat turn choose the hero.
"""

from grammar import article, expand

GIRLS = "Lily Anna Mia Ella Rosa Sue Kate Amy Zoe Nina Ruby Molly".split()
BOYS = "Tom Ben Max Sam Leo Jack Tim Finn Noah Oscar Paul Henry".split()
ANIMALS = ("dog cat fox bear rabbit mouse duck frog owl bird horse pig goat sheep hen "
           "turtle squirrel hedgehog lion elephant monkey penguin").split()
ADJECTIVES = "little small brave kind happy clever curious quiet funny young gentle busy".split()
PLACES = ["the forest", "the park", "the garden", "the village", "the farm", "the beach",
          "the meadow", "the hill", "the river", "the lake", "the old house", "the big city"]
THINGS = ("ball kite boat hat book cake apple shell stone flower lamp drum bell basket "
          "blanket star map key box cup coat toy").split()
COLOURS = "red blue green yellow orange purple pink brown black white golden silver".split()
FOODS = "bread soup honey cheese berries carrots nuts pancakes cookies apples milk pears".split()

OPENINGS = [
    "Once upon a time, there was {a_kind} named {hero}. {Sub} lived [near|by|next to] {place}.",
    "Once upon a time, {a_kind} named {hero} lived [near|by|next to] {place}.",
    "Once there was {a_kind}. {Pos} name was {hero}. {Sub} lived [near|by] {place}.",
    "One day, {a_kind} named {hero} went for a walk [near|by] {place}.",
]
LIKES = [
    "Every [day|morning|evening], {hero} liked to [play|run|sing|dance] with {pos} friend {friend}.",
    "{hero} loved to [eat {food}|look at the sky|climb trees|watch the clouds|listen to the birds].",
    "{Pos} best friend was {a_friend_kind} named {friend}.",
]
PLOTS = [
    ["One [sunny|windy|cold|warm] [day|morning], {hero} could not find {pos} {colour} {thing}.",
     "{Sub} looked under the bed, behind the door and in the garden, but it was not there.",
     "{hero} was very sad and began to cry.",
     "{friend} [heard|saw] {hero} and said, \"Do not [cry|worry]! I will help you [look|find it].\"",
     "They looked and looked. At last they found the {thing} [under a tree|behind a big stone|"
     "next to the path|in the tall grass].",
     "\"Thank you, {friend}!\" said {hero}. \"You are a good friend.\""],
    ["One [day|morning], {hero} found {a_colour_thing} [on the path|under a tree|in the grass].",
     "\"What a [nice|pretty|lovely] {thing}!\" said {hero}. \"[Who lost it|Whose is it]?\"",
     "{Sub} asked {friend}, but {friend} did not know.",
     "They walked to [the market|the school|the old bridge] and asked everyone.",
     "At last [an old woman|an old man|a small child] smiled and said, \"That is my {thing}! Thank you!\"",
     "{hero} was [glad|happy] to give it back. The [woman|man|child|stranger] gave them {food} to share."],
    ["One day, it began to rain. The wind was [strong|loud] and the sky was [dark|grey].",
     "{friend} was [scared|afraid] of the storm.",
     "\"Come to my house,\" said {hero}. \"It is warm and dry here.\"",
     "They sat by the fire and ate {food}. {hero} told a funny story and {friend} laughed.",
     "Soon the rain stopped and a [big|bright] rainbow was in the sky.",
     "\"It is so [pretty|beautiful]!\" said {friend}."],
    ["{hero} had {some_food}, but {friend} had nothing to eat.",
     "{friend} was hungry and [sad|quiet].",
     "{hero} thought about it. Then {sub} said, \"Let us share! [Half is for you|One for you and one for me].\"",
     "{friend} smiled and said, \"Thank you! You are so kind.\"",
     "They sat [under a tree|in the sun|on the grass] and ate together.",
     "The {food} tasted better because they shared."],
    ["{hero} wanted to learn to [swim|fly a kite|ride a bike|sing|paint], but it was hard.",
     "The first time, {sub} could not do it. The second time, {sub} could not do it.",
     "\"I will never learn,\" said {hero}.",
     "\"Do not give up,\" said {friend}. \"Try [one more time|again]!\"",
     "So {hero} tried again and again. [At last|One day], {sub} could do it!",
     "{hero} was very proud, and {friend} [clapped|cheered|was happy too]."],
    ["One day, {hero} heard a [small|strange|soft] sound. It came from [a deep hole|a tall tree|the bushes].",
     "It was a little {baby}. It was lost and could not find its mother.",
     "\"Do not be afraid,\" said {hero}. \"I will take you home.\"",
     "{hero} and {friend} walked [over the hill|across the bridge|along the river] with the little {baby}.",
     "There they saw the mother {baby}. She was so happy to see her baby!",
     "\"Thank you for your help,\" said the mother {baby}."],
    ["One night, {hero} could not sleep. {Sub} looked out of the window and saw a bright star.",
     "\"Hello, star,\" said {hero}. \"Are you [alone|cold|lonely] up there?\"",
     "The star [blinked|shone] and said, \"No, I have many friends. But I like to look at you too.\"",
     "{hero} told the star about {friend} and about the {colour} {thing}.",
     "Then {sub} was [sleepy|tired] and went back to bed.",
     "In the morning, {hero} told {friend} about the star, and they both smiled."],
    ["It was {hero}'s birthday. {Sub} wanted a [big|fun] party, but nobody came.",
     "{hero} sat at the table and felt [sad|lonely].",
     "Then there was a knock at the door. It was {friend} with {a_colour_thing}!",
     "\"Happy birthday!\" said {friend}. Behind {friend} were all the animals of {place}.",
     "They had cake and {food}, and they sang and danced until night.",
     "\"This is the best birthday,\" said {hero}."],
]
ENDINGS = [
    "And they [all|both] lived happily ever after. The end.",
    "From that day on, {hero} and {friend} were best friends. The end.",
    "That night, {hero} went to sleep with a smile. The end.",
    "Then they went home, happy and tired. The end.",
]
BABIES = "bird duck rabbit bear fox goat cat dog".split()


def _character(rng, animal=None):
    female = rng.random() < 0.5
    name = rng.choice(GIRLS if female else BOYS)
    noun = animal or (rng.choice(ANIMALS) if rng.random() < 0.6 else ("girl" if female else "boy"))
    return name, noun, ("she", "her") if female else ("he", "his")


def _slots(rng, animal):
    hero, noun, (subject, possessive) = _character(rng, animal)
    friend, friend_noun, _ = _character(rng)
    while friend == hero:
        friend, friend_noun, _ = _character(rng)
    colour, thing, food = rng.choice(COLOURS), rng.choice(THINGS), rng.choice(FOODS)
    return {
        "hero": hero, "friend": friend, "sub": subject, "Sub": subject.capitalize(),
        "pos": possessive, "Pos": possessive.capitalize(), "colour": colour, "thing": thing,
        "food": food, "some_food": "some " + food, "place": rng.choice(PLACES),
        "a_kind": article(rng.choice(ADJECTIVES) + " " + noun),
        "a_friend_kind": article(friend_noun),
        "a_colour_thing": article(colour + " " + thing), "baby": rng.choice(BABIES),
    }


def story_about(rng, animal):
    """Returns one story of six to ten sentences whose hero is `animal` (any when None)."""
    sentences = [rng.choice(OPENINGS), rng.choice(LIKES), *rng.choice(PLOTS), rng.choice(ENDINGS)]
    return expand(" ".join(sentences), rng, _slots(rng, animal))


def story(rng):
    """Returns one story with any hero."""
    return story_about(rng, None)
