"""The workloads in PyTorch, eager; `--channels-last` and `--compile` as users turn them on."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
import workloads
from workloads import EVAL_BATCH, Clock, arguments, epoch_orders, houses, report, samples


def convolutional(units):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, units), nn.ReLU(), nn.Linear(units, 10),
    )


class Residual(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(filters)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x):
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.shortcut(x))


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and filters != 16 else 1
            layers.append(Residual(channels, filters, stride))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Recurrent(nn.Module):
    """The rows of an image as a sequence."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(28, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        states, _ = self.lstm(x.view(-1, 28, 28))
        return self.head(states[:, -1])


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 64, 7, 7)
        self.positions = nn.Parameter(torch.randn(16, 64) * 0.05)
        layer = nn.TransformerEncoderLayer(
            64, 4, 128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 4, norm=nn.LayerNorm(64), enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.encoder(x).mean(1))


def model(workload):
    if workload == "lstm_mnist":
        return Recurrent()
    if workload == "vit_mnist":
        return VisionTransformer()
    if workload == "mlp_mnist":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    if workload == "resnet20_cifar10":
        return resnet20()
    return convolutional(64 if workload == "cnn_mnist" else 128)


def as_channels(images, options):
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last if options.channels_last else torch.contiguous_format)


def predict(options):
    network = model(options.workload).eval()
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
    forward = torch.compile(network) if options.compile else network

    def judge(images):
        x = as_channels(images, options)
        with torch.no_grad():
            parts = [forward(x[start : start + EVAL_BATCH]).argmax(1) for start in range(0, len(x), EVAL_BATCH)]
        return torch.cat(parts).numpy()

    workloads.predict(options, judge)


def train(options):
    images, classes = samples(options.workload)
    x, y = as_channels(images, options), torch.tensor(classes)
    network = model(options.workload)
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    forward = torch.compile(network) if options.compile else network
    clock = Clock()

    def epoch(order):
        for batch in torch.tensor(order):
            loss = F.cross_entropy(forward(x[batch]), y[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    def judge():
        right = 0
        with torch.no_grad():
            for start in range(0, len(x), EVAL_BATCH):
                part = slice(start, start + EVAL_BATCH)
                right += (forward(x[part]).argmax(1) == y[part]).sum().item()
        return right

    if options.task == "eval":
        network.eval()
        for _ in range(options.epochs):
            clock.epoch(len(x), judge)
    else:
        for order in epoch_orders(options.workload, len(x), options.epochs):
            clock.epoch(order.size, lambda: epoch(order))
    report(clock.rates)


def house_prices():
    x, y = (torch.tensor(part) for part in houses())
    network = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    for _ in range(2000):
        loss = F.mse_loss(network(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    report(loss=loss.item())


def first_step():
    x, y = torch.tensor(np.ones((32, 1, 8, 8), np.float32)), torch.zeros(32, dtype=torch.int64)
    network = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))
    F.cross_entropy(network(x), y).backward()
    report()


if __name__ == "__main__":
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    work = predict if options.task == "predict" else train
    {"house_prices": house_prices, "cnn_digits": first_step}.get(options.workload, lambda: work(options))()
