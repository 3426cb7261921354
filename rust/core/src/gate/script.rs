//! Traditional Chinese characters in their simplified form: the frequent ones, each of which stands for one word in both.

use std::sync::OnceLock;

use hashbrown::HashMap;

/// A traditional character and its simplified one, and so on. Left out are those whose simplified form is another frequent word
/// too: 麵 and 面, 隻 and 只, 髮 and 发, 乾 and 干.
const PAIRS: &str = "
們们個个這这來来時时會会說说為为過过對对學学發发還还開开關关問问間间機机電电話话語语請请讓让從从樣样
麼么嗎吗當当長长東东車车馬马門门見见覺觉觀观現现實实點点無无業业動动國国產产經经種种幾几號号處处條条
應应該该給给買买賣卖錢钱費费價价貨货賬账單单碼码訂订購购險险網网頁页郵邮資资訊讯設设備备連连線线錄录
製制檔档圖图書书報报紙纸畫画寫写讀读聽听認认識识記记憶忆誰谁並并將将試试題题數数據据類类別别變变換换
選选擇择項项標标準准確确轉转匯汇銀银鐘钟週周歲岁歷历氣气溫温熱热風风飛飞場场達达進进遠远運运邊边輕轻
軟软體体務务醫医藥药療疗傷伤燒烧腦脑臟脏膚肤腫肿嚴严壓压診诊護护養养飯饭飲饮魚鱼雞鸡貓猫廣广廚厨臺台
灣湾島岛區区鄉乡陽阳難难離离頭头顯显驗验龍龙韓韩張张許许貴贵賓宾質质負负稅税約约紅红綠绿藍蓝細细組组
結结絕绝統统絡络維维繼继續续練练總总優优億亿僅仅兒儿兩两內内創创劑剂勝胜員员啟启執执夠够夢梦婦妇媽妈
導导歸归師师幫帮庫库復复戰战採采斷断權权檢检沒没決决況况減减測测滿满潔洁濕湿煩烦獲获營营預预視视頻频
閉闭鎖锁歡欢鍵键盤盘幣币證证誤误鏈链壞坏較较樂乐愛爱親亲雙双爲为聲声響响聯联職职議议論论譯译詞词詳详
載载輛辆適适針针錯错閱阅陸陆隱隐額额館馆顧顾蘋苹級级終终綁绑編编縮缩監监禮礼穩稳積积節节範范簽签後后
裡里裏里舊旧戶户詢询課课紀纪掛挂簡简燈灯帳帐與与於于帶带態态術术願愿傳传嘗尝際际謝谢陳陈樓楼構构
";

/// A character in simplified Chinese; itself where it is no traditional one of the table.
pub(super) fn simplified(c: char) -> char {
    static TABLE: OnceLock<HashMap<char, char>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut rest = PAIRS.chars().filter(|c| !c.is_whitespace());
        std::iter::from_fn(|| rest.next().zip(rest.next())).collect()
    });
    table.get(&c).copied().unwrap_or(c)
}
