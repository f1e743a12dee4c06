"""The closed lists of the demo corpus: what the chat tasks ask about."""

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November "
          "December").split()
SEASONS = "spring summer autumn winter".split()
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NUMBER_WORDS = "zero one two three four five six seven eight nine ten".split()

_OPPOSITE_PAIRS = [pair.split("/") for pair in (
    "hot/cold big/small tall/short fast/slow up/down in/out day/night left/right open/closed "
    "happy/sad light/dark old/young good/bad hard/soft wet/dry full/empty high/low early/late "
    "strong/weak clean/dirty near/far rich/poor loud/quiet thick/thin first/last always/never "
    "before/after front/back inside/outside yes/no true/false win/lose push/pull start/stop "
    "give/take love/hate black/white north/south east/west sweet/sour smooth/rough "
    "safe/dangerous wide/narrow deep/shallow easy/difficult awake/asleep alive/dead sharp/blunt "
    "brave/afraid kind/mean laugh/cry buy/sell question/answer friend/enemy summer/winter "
    "morning/evening more/less many/few above/below on/off").split()]
OPPOSITES = {word: other for pair in _OPPOSITE_PAIRS for word, other in (pair, pair[::-1])}
OPPOSITES |= {"long": "short", "heavy": "light", "new": "old", "large": "small"}

COLOUR_OF = {
    "the sky": "blue", "grass": "green", "snow": "white", "the sun": "yellow", "a banana": "yellow",
    "a strawberry": "red", "a lemon": "yellow", "a carrot": "orange", "a tomato": "red",
    "coal": "black", "milk": "white", "a frog": "green", "a leaf": "green", "the sea": "blue",
    "chocolate": "brown", "a cherry": "red", "a pumpkin": "orange", "a plum": "purple",
    "a flamingo": "pink", "a polar bear": "white", "an orange": "orange", "blood": "red",
    "a cloud": "white", "the night": "black", "a cucumber": "green", "gold": "yellow",
    "silver": "grey", "a pig": "pink", "an elephant": "grey", "a crow": "black", "a rose": "red",
    "wood": "brown", "fire": "red", "peas": "green", "blueberries": "blue",
}
MIXES = {("red", "blue"): "purple", ("red", "yellow"): "orange", ("blue", "yellow"): "green",
         ("red", "white"): "pink", ("black", "white"): "grey"}

ANIMAL_SOUNDS = {"cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "sheep": "baa",
                 "pig": "oink", "horse": "neigh", "lion": "roar", "frog": "ribbit", "hen": "cluck",
                 "mouse": "squeak", "bee": "buzz", "snake": "hiss", "wolf": "howl"}
LEGS = {"dog": "four", "cat": "four", "cow": "four", "horse": "four", "bird": "two", "duck": "two",
        "spider": "eight", "bee": "six", "ant": "six", "frog": "four", "hen": "two", "lion": "four"}

CAPITALS = {"France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
            "England": "London", "Japan": "Tokyo", "China": "Beijing", "Russia": "Moscow",
            "Austria": "Vienna", "Greece": "Athens", "Poland": "Warsaw", "Portugal": "Lisbon",
            "Norway": "Oslo", "Sweden": "Stockholm", "Egypt": "Cairo", "Canada": "Ottawa",
            "Denmark": "Copenhagen", "Finland": "Helsinki", "Ireland": "Dublin", "Peru": "Lima"}

LISTS = [
    ("[Name|List|Tell me] the days of the week.", ", ".join(DAYS)),
    ("[What are the days of the week?|Say the days of the week.]", ", ".join(DAYS)),
    ("[Name|List|Tell me] the months of the year.", ", ".join(MONTHS)),
    ("[Name|List|Tell me] the [four |]seasons.", ", ".join(SEASONS)),
    ("[What are|Name|List] the colours of the rainbow[?|.]",
     "red, orange, yellow, green, blue, indigo, violet"),
    ("[Say|Tell me|Recite] the alphabet.", ", ".join(ALPHABET)),
    ("How many days are in a week?", "There are 7 days in a week."),
    ("How many months are in a year?", "There are 12 months in a year."),
    ("How many hours are in a day?", "There are 24 hours in a day."),
    ("How many minutes are in an hour?", "There are 60 minutes in an hour."),
    ("How many letters are in the alphabet?", "There are 26 letters in the alphabet."),
]

_HELLO = "Hello! How can I help you?"
_THANKS = "You are welcome!"
_BYE = "Goodbye! Have a nice day."
_WHO = "I am the Caudal demo model, a very small language model."
_WHAT = ("I can tell short stories, add and subtract small numbers, count, repeat words, and name "
         "colours, days and opposites.")
ABOUT = [
    ("[Hello|Hi|Hey|Hello there|Hi there|Hey there|Good morning|Good evening|Good day][!|.|!]", _HELLO),
    ("[Hello|Hi|Hey|Hello there|Hi there][!|.|!|]", _HELLO),
    ("[Hello, how|Hi, how|How] are you[| today| doing]?",
     "I am fine, thank you. How are you?"),
    ("[How are you?|How do you do?|How is it going?]", "I am fine, thank you. How are you?"),
    ("[I am fine.|I am good.|I am fine, thank you.|I am well.]", "I am glad to hear that!"),
    ("[I am sad.|I am tired.|I am not well.]", "I am sorry to hear that. Do you want a story?"),
    ("[Thank you|Thanks|Thank you very much|Many thanks][!|.]", _THANKS),
    ("[Goodbye|Bye|Good night|See you|See you later|Bye bye][!|.]", _BYE),
    ("[Who are you?|What are you?|What is your name?|What's your name?|Tell me about yourself.|"
     "Are you a robot?|Are you a person?]", _WHO),
    ("[What can you do?|How can you help me?|What do you know?|Help!|Can you help me?]", _WHAT),
    ("[Who made you?|Who built you?|Where do you come from?]",
     "I was made by the Caudal project as a demonstration."),
    ("[Yes|Yes.|Ok|OK.|No|No.|Good.|Great!|Nice!]", "What can I do for you?"),
]

FALLBACK_QUESTIONS = [
    "[Who|What|Where|When] [is|was] [the |a |]{a} {b}?", "[Why|How] [is|does|can] [the |a |]{a} {b}?",
    "[Who] [wrote|invented|painted|discovered|won] the {a}[ of {b}|]?", "[Explain|Describe] {a}[ and {b}|].",
    "How [do I|does one|can I] {a} [a |the |]{b}?", "Write [a program|an essay|a poem|some code] about {a}.",
    "What is the [meaning|price|history|size|weight|age] of [the |]{a}?",
    "Translate {a} into [French|German|Latin|Spanish].", "[Who is|What do you think about] {a} {b}?",
]

SYLLABLES = ("ba be bi bo bu da de di do du fa fe fi fo ga ge go gu ha he hi ho ja jo ka ke ki ko la "
             "le li lo lu ma me mi mo mu na ne ni no nu pa pe pi po pu ra re ri ro ru sa se si so "
             "su ta te ti to tu va ve vi vo wa we wi za ze zi zo bran clo dra fen gli kra lon mer "
             "nor pla quin ras sto tri ven win xa yor zel shi cha tho ing er an on").split()

WORDS = ("""
able about above across act add afraid after again age air all almost alone along also always
and angry animal answer ant any apple arm around art ask autumn away baby back bad bag ball banana
bank basket bath beach bean bear beautiful because bed bee bell below best better big bird birthday
bite black blanket blue board boat body bone book boot both bottle bowl box boy branch brave bread
break breakfast bridge bright bring broken brother brown brush build bus bush busy butter button
cake call camel camp candle car card careful carry castle cat catch chair chalk change cheese cherry
chicken child choose circle city class clean clever climb clock close cloud coat coffee coin cold
colour come cook cookie corn corner cottage count country cousin cow crab cream cross crown cry cup
dance dark daughter day deep deer desk dinner dish dirty doctor dog doll dolphin door down dragon
draw dream dress drink drive drum dry duck each eagle ear early earth east easy eat egg eight
elephant empty end engine enjoy evening every eye face fall family far farm farmer fast father
feather feed feel feet field find finger finish fire first fish five flag floor flour flower fly
follow food foot forest forget fork four fox free fresh friend frog fruit full fun funny game garden
gate gentle giant gift giraffe girl give glad glass glove goat gold good goose grandmother grape
grass great green grey ground grow guess hair half hammer hand happy hard hat hear heart heavy hedge
help hen hide high hill hold hole home honey hope horse hot hour house hungry hurry ice idea inside
island jacket jam jar job join juice jump keep kettle key kick kind king kitchen kite kitten knee
knife knock know ladder lake lamb lamp land large last late laugh leaf learn leave left leg lemon
letter library lift light line lion listen little long look lost loud love low lucky lunch machine
magic make man many map market match meadow meal meat meet metal middle milk minute mirror money
monkey month moon more morning mother mountain mouse mouth move much mud music nail name near neck
need needle nest never new next nice night nine noise north nose nothing now number nurse nut
ocean often oil old one onion open orange other outside oven over owl own page paint pair pan
paper parent park part party path peach pear pen pencil people pepper picnic picture piece pig
pillow pink pirate place plant plate play please pocket point pond poor potato pretty prince
princess proud pull puppy purple push put queen question quick quiet rabbit race rain rainbow reach
read ready red rest rice rich ride right ring river road robot rock roof room rope rose round run
sad safe salt same sand school sea seat second secret see seed sell send seven shadow shape share
sharp sheep shell ship shirt shoe shop short shoulder show side silver simple sing sister sit six
sky sleep slow small smell smile snail snake snow soap sock soft some song soon sound soup south
space spider spoon spring square squirrel stand star start station stay step stick stone stop
storm story straight strange street strong sugar summer sun sweet swim table tail take talk tall
tea teacher tell ten tent thank thick thin thing think three tiger time tired today together
tomorrow tooth top towel tower town toy train travel tree true try turn turtle two ugly umbrella
uncle under until up use valley vegetable very village visit voice wait wake walk wall want warm
wash watch water wave way weak wear weather week well west wet whale wheel white wide wild wind
window wing winter wise wish wolf woman wonder wood wool word work world worm write wrong year
yellow yes yesterday young zebra zero
""").split()
