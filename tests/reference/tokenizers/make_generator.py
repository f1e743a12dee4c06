"""Writes generator.json: the words, snippets and character ranges that test strings are made of."""

import json
import pathlib

WORDS = """the of and to in is it you that he was for on are with as his they be at one have this from or had by
hot but some what there we can out other were all your when up use word how said an each she which do their time
if will way about many then them would write like so these her long make thing see him two has look more day could
go come did my sound no most number who over know water than call first people may down side been now find any new
work part take get place made live where after back little only round man year came show every good me give our
under name very through just form much great think say help low line before turn cause same mean differ move right
boy old too does tell sentence set three want air well also play small end put home read hand port large spell add
land here must big high such follow act why ask men change went light kind off need house picture try us again
animal point mother world near build self earth father Straße naïve façade Ångström ŝafejo ĞÜZEL ΣΊΣΥΦΟΣ привет
Москва Київ שלום مرحبا नमस्ते สวัสดี 你好 世界 東京 カタカナ ひらがな 한국어 გამარჯობა Բարեւ ሰላም""".split()

SNIPPETS = [
    "'s", "'S", "'ſ", "'t", "'T", "'re", "'RE", "'Ve", "'ll", "'LL", "'lL", "'d", "'D", "'m", "I'm", "don't", "DON'T",
    "\u212a", "\u017f", "'", "''", "\u2019s", "0", "7", "42", "123", "1234", "3.14159", "1,000,000", "0x1F", "2024-02-29",
    "\u0663\u0664", "\u00b2", "\u00bd", "\u2167", "\u4e09", "\n", "\r\n", "\n\n", " \n", "\n ", "\t", "\t\t", " \t ", "  ",
    "   ", "        ", " ", "\u00a0", "\u3000", "\u200b", "\u200d", "\u2581", " \u2581 ", "\u180e", "\ufeff", "\ufffd",
    "!", "?!", "...", " --", "//", "/* */", "#include <a>", "{}", "[]", "()", "<", ">", "</", "|>", "def f(x):\n    return x",
    "for (int i = 0; i < n; ++i) {\n\t++a[i];\n}\n", "https://example.org/a?b=c&d=%20", "user@example.org", "&amp;",
    "\u00e9", "e\u0301", "\u0065\u0301\u0327", "\u0041\u030a", "\u212b", "\u1e9b\u0323", "\uac00", "\u1100\u1161\u11a8",
    "\ud55c\u1100", "\u0958", "\u0f73\u0f74", "\ufb01", "\ufb03x", "\u2460", "\u3392", "\uff21\uff22", "\ufdfa", "\u0344",
    "a\u0316\u0300\u0316\u0300", "\u0b47\u0b3e", "\U00011935\U00011930", "\U0001d15e", "\u0928\u093c", "\u05e9\u05bc\u05c1",
    "\U0001f600", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\U0001f44d\U0001f3fd",
    "\U0001f600\U0001f600\U0001f600", "\x00", "\x01\x02", "\x7f", "\x1b[0m", "\x85", "\u2028", "\x0b", "\x0c", "\x1c\x1d",
    "\U000e0001", "\U000f0000", "\U0010ffff", "\ufffe", "\ue000", "\u0897", "\u1c89", "\U000105c0", "\U0001ccf0", "\U00031350",
    "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>user<|end_header_id|>\n\n", "<|im_start|>",
    "<|im_end|>", "<|im_end|", "<tool_call>", "</tool_call>", "<tool", "<s>", "</s>", "<s", "<unk>", " <s> ", "s>", "[INST]",
    "[/INST]", "[INST", " [INST] ", "<mask>", "  <mask>  ", "<mask><mask>", "word", "word word", "sword", " word ", "words",
    "<0x41>", "<0x0A>", "<0xE2>", "Caf\u00e9", "Cafe\u0301", "\ufb01x", "fix", "New York", "new york", "<pad>", "\n<pad>\n",
]

RANGES = [
    (0x20, 0x7E), (0x41, 0x5A), (0x61, 0x7A), (0x30, 0x39), (0x21, 0x2F), (0x00, 0x1F), (0x7F, 0x9F), (0xA0, 0xFF),
    (0x100, 0x24F), (0x250, 0x36F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x5FF), (0x590, 0x6FF),
    (0x700, 0x8FF), (0x900, 0x97F), (0x980, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x16FF), (0x1700, 0x18AF), (0x18B0, 0x1CFF), (0x1AB0, 0x1AFF),
    (0x1D00, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20CF), (0x20D0, 0x20FF), (0x2100, 0x21FF),
    (0x2200, 0x23FF), (0x2400, 0x27BF), (0x27C0, 0x2BFF), (0x2C00, 0x2DFF), (0x2E00, 0x2FFF), (0x3000, 0x303F),
    (0x3040, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x4E00, 0x5000), (0xA000, 0xA7FF),
    (0xA800, 0xABFF), (0xAC00, 0xD7A3), (0xD7B0, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF),
    (0xFE00, 0xFE2F), (0xFE30, 0xFFFF), (0x10000, 0x103FF), (0x10400, 0x107FF), (0x10800, 0x10FFF), (0x10D00, 0x10FFF),
    (0x11000, 0x114FF), (0x11300, 0x113FF), (0x11500, 0x11FFF), (0x12000, 0x143FF), (0x14400, 0x16FFF), (0x16100, 0x1613F),
    (0x16D40, 0x16D7F), (0x17000, 0x18DFF), (0x1AFF0, 0x1BCFF), (0x1CC00, 0x1CEBF), (0x1D000, 0x1D3FF), (0x1D400, 0x1D7FF),
    (0x1D800, 0x1DFFF), (0x1E000, 0x1E5FF), (0x1E800, 0x1EFFF), (0x1F000, 0x1F2FF), (0x1F300, 0x1F6FF), (0x1F700, 0x1FBFF),
    (0x20000, 0x2A6DF), (0x2A700, 0x2EE5F), (0x2F800, 0x2FA1F), (0x30000, 0x323AF), (0xE0000, 0xE01EF), (0xF0000, 0xFFFFD),
    (0x100000, 0x10FFFF),
]

SPACES = [0x20, 0x20, 0x20, 0x20, 0x0A, 0x0A, 0x0D, 0x09, 0x0B, 0x0C, 0x1C, 0x1F, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2009,
          0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]

if __name__ == "__main__":
    spec = {"words": WORDS, "snippets": SNIPPETS, "ranges": RANGES, "spaces": SPACES}
    path = pathlib.Path(__file__).parent / "generator.json"
    path.write_text(json.dumps(spec, ensure_ascii=True) + "\n", encoding="utf-8")
