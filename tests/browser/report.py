"""The report in headless Chromium: it opens without an error, draws, shows values, and fits narrow screens and dark ones.

    report.py PROGRAM SOURCE [FOLDER]     with FOLDER, pictures of the page are left there

Needs Debian's chromium, chromium-driver and python3-selenium; without them it says so and ends with 77.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

DEBIAN = "/usr/bin/python3"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    # Debian's package is for Debian's python alone
    if os.path.exists(DEBIAN) and os.path.realpath(sys.executable) != os.path.realpath(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, *sys.argv])
    print("browser: no selenium; cmake/deps.sh installs python3-selenium")
    sys.exit(77)
if CHROMIUM is None or DRIVER is None:
    print("browser: no chromium or no chromedriver; cmake/deps.sh installs chromium and chromium-driver")
    sys.exit(77)

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "tokenheap"
PICTURES = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
RUN = ["serve", "--requests", "64", "--scale", "64", "--verify", "2", "--blocks", "130", "--watermark", "0", "--block-tokens",
       "4", "--load", "20", "--device", "sim"]


def open_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # sandboxes and shared memory are what containers lack
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                   "--disable-background-networking", "--no-first-run"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.chrome.service.Service(DRIVER))


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([PROGRAM, *RUN, "--out", cls.folder.name], check=True, stdout=subprocess.DEVNULL, timeout=240)
        cls.browser = open_browser()
        cls.addClassCleanup(cls.browser.quit)

    def show(self, width, dark=False, height=900):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                     {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.browser.get("file://" + os.path.join(self.folder.name, "report.html"))
        self.addCleanup(self.check_console)

    def check_console(self):
        self.assertEqual(self.browser.get_log("browser"), [])

    def run_script(self, text, *arguments):
        return self.browser.execute_script("return " + text, *arguments)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def tips(self):
        return [tip.text for tip in self.all(".tip") if tip.is_displayed()]

    def plot(self, title):
        for section in self.all("section"):
            if section.find_element(By.CSS_SELECTOR, "h2").text == title:
                return section.find_element(By.CSS_SELECTOR, ".plot")
        return self.fail("no picture " + title)

    def point(self, plot, across, down=0.5):
        self.run_script("arguments[0].scrollIntoView({block: 'center'})", plot)
        width, height = plot.size["width"], plot.size["height"]
        ActionChains(self.browser).move_to_element_with_offset(
            plot, int((across - 0.5) * width), int((down - 0.5) * height)).perform()

    def keep(self, name, width, dark):
        if PICTURES is None:
            return
        os.makedirs(PICTURES, exist_ok=True)
        self.show(width, dark, self.run_script("document.documentElement.scrollHeight"))
        self.browser.save_screenshot(os.path.join(PICTURES, name + ".png"))

    def test_every_picture_has_marks(self):
        for width in (1280, 400):
            self.show(width)
            titles = [head.text for head in self.all("h2")]
            self.assertEqual(titles, ["Memory over time, by owner", "Blocks by state", "Hit ratio of the prefix cache", "Requests",
                                      "Pool kv at its fullest", "Device memory at its fullest", "Latency of calls to the pool",
                                      "Top owners", "Refusals and preemptions", *titles[9:]])
            for plot in self.all(".plot"):
                marks = plot.find_elements(By.CSS_SELECTOR, ".mark")
                self.assertGreater(len(marks), 0, plot.get_attribute("aria-label"))
            # at least one mark of each picture covers something
            sizes = self.run_script("[...document.querySelectorAll('.plot')].map(plot => Math.max(...[...plot.querySelectorAll("
                                    "'.mark')].map(mark => { const b = mark.getBBox(); return b.width + b.height; })))")
            self.assertGreater(min(sizes), 10, sizes)
            outside = self.run_script("[...document.querySelectorAll('.plot')].flatMap(plot => { const p = "
                                      "plot.getBoundingClientRect(); return [...plot.querySelectorAll('.mark')].filter(mark => "
                                      "{ const b = mark.getBoundingClientRect(); return b.left < p.left - 2 || b.right > "
                                      "p.right + 2 || b.top < p.top - 2 || b.bottom > p.bottom + 2; }); }).length")
            self.assertEqual(outside, 0)
            self.assertEqual(len(self.all(".figure")), 6)
            self.assertNotIn("NaN", self.run_script("document.getElementById('page').innerHTML"))

    def test_nothing_is_wider_than_the_screen(self):
        for width in (1280, 760, 400, 360):
            self.show(width)
            self.assertEqual(self.run_script("document.documentElement.scrollWidth"), width)
            inside = self.run_script("[...document.querySelectorAll('svg text')].filter(text => { const b = "
                                     "text.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth; }).length")
            self.assertEqual(inside, 0)

    def test_pointing_shows_values(self):
        self.show(1280)
        for title, words in (("Memory over time, by owner", ["weights", "kv in use", "MiB", "all"]),
                             ("Blocks by state", ["in use"]), ("Hit ratio of the prefix cache", ["so far", "%"]),
                             ("Requests", ["running", "waiting"])):
            plot = self.plot(title)
            self.point(plot, 0.5)
            tips = self.tips()
            self.assertEqual(len(tips), 1, title)
            for word in words:
                self.assertIn(word, tips[0])
            # a cursor at the same time in every picture over time
            self.assertEqual(len([line for line in self.all("line.cursor") if line.get_attribute("visibility") == "visible"]), 4)
        self.point(self.plot("Pool kv at its fullest"), 0.005, 0.02)
        self.assertIn("block 0", self.tips()[0])
        self.point(self.plot("Latency of calls to the pool"), 0.5)
        self.assertIn("calls", self.tips()[0])
        self.point(self.plot("Refusals and preemptions"), 0.5)
        self.assertIn("request", self.tips()[0])
        ActionChains(self.browser).move_to_element(self.all("h1")[0]).perform()
        self.assertEqual(self.tips(), [])

    def test_values_are_those_of_the_run(self):
        self.show(1280)
        plot = self.plot("Blocks by state")
        self.run_script("arguments[0].focus()", plot)
        plot.send_keys(Keys.END)
        shown = dict(zip(*[iter(self.tips()[0].splitlines()[1:])] * 2))
        numbers = self.run_script("report.series.find(s => s.title === 'Blocks by state').lines.map(line => "
                                  "[line.name, line.v[line.v.length - 1]])")
        for name, value in numbers:
            self.assertEqual(shown[name], str(value))
        self.assertEqual(shown["all"], "130")

    def test_keys_show_values(self):
        self.show(1280)
        for plot in self.all(".plot"):
            self.run_script("arguments[0].focus()", plot)
            plot.send_keys(Keys.ARROW_RIGHT)
            first = self.tips()
            self.assertEqual(len(first), 1, plot.get_attribute("aria-label"))
            plot.send_keys(Keys.END)
            self.assertEqual(len(self.tips()), 1)
            plot.send_keys(Keys.HOME)
            self.assertEqual(self.tips(), first)
            plot.send_keys(Keys.ESCAPE)
            self.assertEqual(self.tips(), [])

    def test_a_tip_stays_on_the_page(self):
        for width in (1280, 400):
            self.show(width)
            for title in ("Memory over time, by owner", "Pool kv at its fullest"):
                for across in (0.01, 0.3, 0.5, 0.7, 0.99):
                    self.point(self.plot(title), across, 0.5)
                    box = self.run_script("(() => { const b = [...document.querySelectorAll('.tip')].find(t => !t.hidden)"
                                          ".getBoundingClientRect(); return [b.left, b.right]; })()")
                    self.assertTrue(0 <= box[0] and box[1] <= width, (title, width, across, box))

    def test_light_and_dark(self):
        colors = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        self.show(1280)
        light = self.run_script(colors)
        self.show(1280, dark=True)
        dark = self.run_script(colors)
        self.assertEqual((light, dark), (["rgb(245, 245, 242)", "rgb(25, 25, 24)"], ["rgb(17, 17, 16)", "rgb(244, 243, 238)"]))

    def test_a_window_that_changes_is_drawn_anew(self):
        self.show(1280)
        wide = self.run_script("document.querySelector('.plot path').getBBox().width")
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                     {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))")
        self.assertLess(self.run_script("document.querySelector('.plot path').getBBox().width"), wide / 2)

    def test_nothing_is_asked_of_the_network(self):
        self.browser.get_log("performance")
        self.show(1280)
        sent = [entry["message"] for entry in self.browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]]
        others = [message for message in sent if '"url":"file://' not in message and '"url":"data:' not in message]
        self.assertEqual(others, [])

    def test_pictures(self):
        for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("narrow", 400, False), ("narrow-dark", 400, True)):
            self.show(width, dark)
            self.keep(name, width, dark)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
