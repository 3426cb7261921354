"""What fills the slots of the sentences: names, numbers, dates, codes, paths; made up or common knowledge.

Each list has an English and a Chinese column where they differ. `half` cuts a list by hash, so that the held-out
sentences are filled with words that the others never see.
"""

from __future__ import annotations

import hashlib

LISTS: dict[str, tuple[str, str]] = {
    "city": (
        "Oslo|Bergen|Lima|Quito|Nairobi|Mombasa|Kyoto|Osaka|Lyon|Nantes|Porto|Seville|Turin|Naples|Cork|Galway|Perth|Hobart|"
        "New York|San Diego|Cape Town|St. Louis|Boston|Denver|Krakow|Gdansk|Hanoi|Da Nang|Zurich|Basel",
        "北京|上海|广州|深圳|成都|重庆|西安|南京|杭州|苏州|东京|大阪|巴黎|里昂|纽约|波士顿|墨尔本|悉尼|开罗|内罗毕|"
        "昆明|大理|青岛|济南|哈尔滨|长春|首尔|釜山|伦敦|曼彻斯特",
    ),
    "country": (
        "France|Spain|Portugal|Kenya|Uganda|Peru|Chile|Japan|Korea|Norway|Sweden|Poland|Greece|Turkey|Canada|Mexico|"
        "New Zealand|South Africa|Sri Lanka|Costa Rica",
        "法国|德国|西班牙|葡萄牙|肯尼亚|秘鲁|智利|日本|韩国|挪威|瑞典|波兰|希腊|土耳其|加拿大|墨西哥|新西兰|南非|越南|泰国",
    ),
    "person": (
        "Anna|Boris|Chloe|Diego|Emma|Farid|Greta|Hassan|Ines|Jonas|Karin|Liam|Maria Lopez|Nadia|Omar|Priya|Quentin|Rosa|"
        "Tom Becker|Ursula|Victor|Wendy|Xavier|Yuki|Zoe|Dr. Meyer|Mrs. Patel|Li Wei",
        "张伟|王芳|李娜|刘洋|陈静|杨帆|赵磊|黄敏|周杰|吴婷|徐强|孙丽|马超|朱琳|胡军|郭燕|林涛|何雪|高峰|罗兰|小明|小红|老王|李老师",
    ),
    "company": (
        "Acme|Globex|Initech|Umbrella Corp|Contoso|Northwind|Tailspin Toys|Fabrikam|Hooli|Vandelay Industries|Wonka Ltd|"
        "Siemens|Nestle|Toyota|Airbus|IKEA",
        "华为|小米|腾讯|百度|阿里巴巴|京东|美团|比亚迪|海尔|格力|联想|中兴|吉利|蔚来|顺丰|网易",
    ),
    "product": (
        "Docker|Podman|Postgres|MySQL|Firefox|Chrome|Slack|Zoom|Photoshop|Gimp|Excel|Notion|Redis|Kafka|Jenkins|Grafana|"
        "VS Code|Visual Studio|Android Studio|iTunes",
        "微信|钉钉|飞书|淘宝|抖音|支付宝|Docker|Redis|Postgres|Chrome|Excel|Photoshop|石墨文档|印象笔记|网易云音乐|高德地图",
    ),
    "lang": (
        "English|German|French|Italian|Dutch|Swahili|Arabic|Hindi|Polish|Korean|Latin|Finnish",
        "英语|德语|法语|意大利语|荷兰语|阿拉伯语|印地语|波兰语|韩语|拉丁语|芬兰语|日语",
    ),
    "proglang": ("Python|Java|Rust|Go|C|C++|C#|Ruby|Kotlin|Swift|PHP|Perl",) * 2,
    "os": ("Linux|Windows|macOS|Android|iOS|FreeBSD|Ubuntu|Debian|Windows 10|Windows 11",) * 2,
    "day": (
        "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|5 May|6 May|the 3rd of June|June 4th",
        "周一|周二|周三|周四|周五|周六|周日|5月3日|5月4日|六月一号|六月二号",
    ),
    "month": (
        "January|February|March|April|June|July|August|September|October|November|December",
        "一月|二月|三月|四月|五月|六月|七月|八月|九月|十月|十一月|十二月|3月|4月",
    ),
    "season": ("spring|summer|autumn|winter", "春天|夏天|秋天|冬天"),
    "date": (
        "2024-03-05|2024-03-06|2025-03-05|5 March 2024|7 March 2024|12/11/2023|11/12/2023|Oct 3, 2022|Nov 3, 2022|Oct 13, 2022",
        "2024年3月5日|2024年3月6日|2025年3月5日|二零二四年五月|二零二五年五月|2023-12-11|2023-11-12|10月3日|11月3日",
    ),
    "time": (
        "7:30|7:45|8:30|19:30|half past six|half past nine|noon|midnight|3 pm|3 am|11 am",
        "7点半|8点半|七点四十五|八点四十五|19:30|9:30|早上六点|晚上六点|中午|半夜|下午三点",
    ),
    "year": ("1848|1905|1914|1939|1945|1969|1989|1991|2001|2008|2016|2020|2021|2022|2023|2024",) * 2,
    "n": (
        "2|3|4|5|6|7|8|9|10|12|15|20|24|30|45|50|64|75|90|100|120|200|250|365|400|500|800|1000|1,500|2,000|8080|443|"
        "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty-five|forty|sixty|a hundred",
        "2|3|4|5|6|7|8|9|10|12|15|20|24|30|50|60|90|100|120|250|500|800|1000|1500|两|三|四|五|六|七|八|九|十|十二|二十|三十五|一百|两百",
    ),
    "dec": ("0.1|0.01|0.001|0.2|0.25|0.3|0.5|1.5|2.5|3.14|3.41|2.718",) * 2,
    "pct": (
        "5%|10%|15%|20%|25 percent|30 percent|50%|75%|80 per cent|3.5%|7.5%",
        "5%|10%|15%|20%|百分之二十五|百分之三十|50%|75%|百分之八十|3.5%|7.5%",
    ),
    "ver": ("1.2|1.20|2.0|2.1|3.9|3.10|3.11|v4|v5|1.2.3|1.2.4|1.3.2|10.0.1|11.0.1",) * 2,
    "path": (
        "/etc/hosts|/etc/passwd|/var/log/syslog|/home/ana/notes.txt|/home/ana/todo.txt|/tmp/a|/tmp/b|src/main.rs|src/lib.rs|"
        "C:\\Users\\ana|D:\\backup|~/Documents|~/Downloads|data/train.csv|data/test.csv",
    )
    * 2,
    "user": ("root|admin|guest|alice|bob|carol42|dave43|svc-backup|svc-deploy|jdoe|jroe",) * 2,
    "host": ("web-01|web-02|db1|db2|cache.internal|queue.internal|10.0.0.5|10.0.0.6|build-7|build-8",) * 2,
    "order": ("A-1042|A-1043|B-77|C-77|#5512|#5521|INV-2024-001|INV-2024-010|9f86d08|e3b0c44|XK29|XK92",) * 2,
    "email": ("ana@example.com|bob@example.com|ana@example.org|info@shop.test|sales@shop.test|dev@shop.test",) * 2,
    "phone": ("555-0134|555-0143|+44 20 7946 0018|+44 20 7946 0081|13800000001|13800000010",) * 2,
    "url": (
        "https://example.com/a|https://example.com/b|example.org|example.net|https://shop.test/cart|https://shop.test/checkout",
    )
    * 2,
    "ident": (
        "parse_args|parse_kwargs|getUser|setUser|readFile|max_len|min_len|is_ready|is_done|user_id|order_id|HttpClient|load_json",
    )
    * 2,
    "flag": ("--force|--dry-run|--verbose|--quiet|-r|-R|-x|--no-cache|--cache",) * 2,
    "seat": ("12A|12B|14C|3F|4F",) * 2,
    "flight": ("LH400|LH401|SK1472|SK1427|BA12|BA21|MU5101|MU5110",) * 2,
    "word": ("brave|timid|gentle|harsh|lantern|candle|river|meadow|clever|stubborn|window|curtain",) * 2,
    "zhword": (
        "勇敢|胆小|温柔|粗暴|灯笼|蜡烛|河流|草地|聪明|固执|窗户|窗帘|画蛇添足|守株待兔|亡羊补牢|掩耳盗铃",
    )
    * 2,
    "quoted": (
        '"time is money"|"less is more"|"know thyself"|"carpe diem"|"nothing lasts"|"all is lost"|"fortune favours the bold"',
    )
    * 2,
}  # fmt: skip


def half(text: str) -> int:
    """Return 0 for what the gate is made with, 1 for what is held out."""
    return hashlib.sha256(text.encode()).digest()[0] & 1


def fillings(kind: str, *, is_chinese: bool, part: int) -> list[str]:
    """Return what may fill a slot of `kind` in the sentences of one half; the whole list where a half has under three."""
    every = LISTS[kind][is_chinese].split("|")
    own = [word for word in every if half(word) == part]
    return own if len(own) > 2 else every
